"""What a child is made of imports next to nothing of ours."""

import ast
from pathlib import Path

from talksy.tools.sandbox import child
from tests.floors import imports

OURS = {
    "talksy.errors",
    "talksy.tools",
    "talksy.tools.collect",
    "talksy.tools.signature",
    "talksy.tools.sandbox.child",
}


def test_a_child_knows_of_errors_and_tools_alone() -> None:
    """What it imports is in every child's memory, and costs every call."""
    folder = Path(child.__path__[0])
    found = {
        name
        for path in folder.glob("*.py")
        for name in imports(f"talksy.tools.sandbox.child.{path.stem}", _tree(path), package=False)
        if name.startswith("talksy") and not name.startswith("talksy.tools.sandbox.child.")
    }
    assert found == OURS


def _tree(path: Path) -> ast.AST:
    return ast.parse(path.read_text())

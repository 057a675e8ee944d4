"""The floors of the house, and who may know whom."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.floors import faults, modules

MODULES = modules()
IMPORTED = [name for name in MODULES if ".migrations" not in name]
"""Alembic runs the migrations; they are no modules of anybody."""

IMPORT_ALONE = """
import importlib, sys
room = sys.argv[1]
for name in sys.argv[2:]:
    for known in [known for known in sys.modules if f"{known}.".startswith(f"{room}.")]:
        del sys.modules[known]
    module = importlib.import_module(name)
    listed = getattr(module, "__all__", [])
    lacking = [public for public in listed if not hasattr(module, public)]
    assert not lacking, f"{name} lacks {lacking} of its __all__"
"""


def _room(name: str) -> str:
    return ".".join(name.split(".")[:2])


@pytest.mark.parametrize("name", [name for name in MODULES if name != "talksy"])
def test_a_module_knows_only_what_stands_below_it(name: str) -> None:
    path = MODULES[name]
    source = path.read_text(encoding="utf-8")
    assert faults(name, source, package=path.name == "__init__.py") == []


def test_the_root_imports_nothing() -> None:
    tree = ast.parse(MODULES["talksy"].read_text(encoding="utf-8"))
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]


@pytest.mark.parametrize("room", sorted({_room(name) for name in IMPORTED}))
def test_every_module_imports_alone_and_has_what_it_lists(room: str) -> None:
    # The rooms below are not forgotten in between: they know nothing of this one, and are tried
    # by themselves.
    names = [name for name in IMPORTED if _room(name) == room]
    command = [sys.executable, "-W", "error", "-c", IMPORT_ALONE, room]
    run = subprocess.run([*command, *names], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def _contents(path: Path) -> tuple[set[str], list[str]] | None:
    """What a package takes in and what it lists; None where it is more than a list of contents."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    taken, listed = set[str](), list[str]()
    for node in body:
        if isinstance(node, ast.ImportFrom):
            taken |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            listed = ast.literal_eval(node.value)
        elif not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            return None
    return taken, listed


@pytest.mark.parametrize(
    "name", [name for name, path in MODULES.items() if path.name == "__init__.py"]
)
def test_a_package_lists_exactly_what_it_takes_in(name: str) -> None:
    if contents := _contents(MODULES[name]):
        taken, listed = contents
        assert sorted(taken) == sorted(listed)


@pytest.mark.parametrize(
    ("module", "source", "fault"),
    [
        ("talksy.auth.x", "from talksy.gateway import Gateway", "gateway is above auth"),
        ("talksy.errors", "from talksy.ids import new_id", "ids is above errors"),
        ("talksy.auth.x", "from talksy import gateway", "gateway is above auth"),
        ("talksy.auth.x", "def f():\n    import talksy.app", "app is above auth"),
        ("talksy.auth.x", "from ..gateway import Gateway", "gateway is above auth"),
        ("talksy.sessions", "from talksy.auth import User", "sessions and auth are strangers"),
        ("talksy.attic.x", "from talksy.ids import new_id", "FLOORS does not know the room"),
        ("talksy.gateway.x", "from talksy.config import Settings", "it is only for talksy.config"),
        ("talksy.gateway.x", "import socketio", "it is only for talksy.transports.socketio"),
        ("talksy.gateway.x", "import redis.asyncio", "it is only for talksy.state"),
        ("talksy.journal.x", "import sqlalchemy as sa", "it is only for talksy.database"),
        ("talksy.ai.llm.mock", "from openai import types", "it is only for talksy.ai.openai"),
        ("talksy.gateway.x", "import os\nos.environ['A']", "reads the environment"),
        ("talksy.gateway.x", "import os\nos.getenv('A')", "reads the environment"),
        ("talksy.gateway.x", "from os import getenv", "reads the environment"),
        ("talksy.gateway.utils", "", "utils says nothing"),
        ("talksy.gateway.x", "class TokenManager: ...", "manager says nothing"),
        ("talksy.gateway.x", "class MessageDTO: ...", "dto says nothing"),
    ],
)
def test_a_module_that_reaches_too_far_is_told_so(module: str, source: str, fault: str) -> None:
    (told,) = faults(module, source)
    assert told.startswith(module)
    assert fault in told


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("talksy.gateway.x", "from talksy.auth import User\nfrom talksy.gateway.y import Y"),
        ("talksy.messages", "from talksy.events import Ending"),
        ("talksy.transports.socketio.x", "import socketio, engineio"),
        ("talksy.config.x", "import os\nos.environ['A']"),
        ("talksy.gateway.x", "environ = {}\nenviron.get('A')\nclass Utility: ..."),
        ("talksy.gateway.x", "from talksy import __version__"),
    ],
)
def test_a_module_that_keeps_to_its_place_is_left_alone(module: str, source: str) -> None:
    assert faults(module, source) == []


def test_a_relative_import_in_a_package_is_of_that_package() -> None:
    assert faults("talksy.auth", "from .x import X", package=True) == []
    assert faults("talksy.auth", "from ..gateway import X", package=True) != []

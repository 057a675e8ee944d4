"""Tools are found where settings and packages say; those that are not trusted run apart."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from talksy.errors import ToolDenied, ValidationError
from talksy.tools import BASIC, Caller, ToolBounds, Toolbox, ToolResult
from talksy.tools.opening import open_toolbox

ADA = Caller("call_1", "usr_ada", "ses_1")

MINE = '''
import os
from talksy.tools import tool

@tool
async def whose() -> int:
    """Tells in which process it runs."""
    return os.getpid()

@tool(sandbox=True, asks=lambda given: given["number"] > 3)
def double(number: int) -> int:
    """Doubles a number."""
    return number * 2
'''
THEIRS = '''
from typing import Annotated, Literal
from pydantic import BaseModel, Field
from talksy.tools import tool

class Point(BaseModel):
    x: Annotated[int, Field(ge=0)]

@tool(asks=lambda given: False)
def move(point: Point, by: int = 2, way: Literal["up", "down"] = "up") -> dict:
    """Moves a point."""
    return {"x": point.x + by, "way": way}

@tool(policy="deny")
def never() -> None:
    """Is not to be used."""

@tool(timeout_ms=300)
def spin() -> None:
    """Never ends."""
    while True:
        pass

@tool
def fail() -> None:
    """Fails."""
    raise KeyError("it is not there")
'''

Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Writes a module that can be imported until the test has ended."""
    monkeypatch.syspath_prepend(str(tmp_path))
    tmp_path.chmod(0o755)
    written = []

    def write(name: str, text: str) -> Path:
        path = tmp_path / f"{name}.py"
        path.write_text(text)
        written.append(name)
        return path

    yield write
    for name in written:
        sys.modules.pop(name, None)


async def call(box: Toolbox, name: str, **given: Any) -> ToolResult:
    tool = box.find(name, {BASIC})
    return await box.run(tool, box.check(tool, given), ADA)


async def test_every_node_has_the_built_in_ones() -> None:
    async with open_toolbox(fetch=True) as box:
        names = {definition.name for definition in box.all()}
        result = await call(box, "run_python", code="print('hello')\nsum(range(5))")
    assert {"get_current_time", "calculate", "unit_convert", "fetch_url", "run_python"} <= names
    assert {"get_account_balance", "get_order_status"} <= names
    assert result.result == {"output": "hello\n", "value": "10", "error": None}


async def test_trusted_tools_run_here_and_sandboxed_ones_apart(write: Write) -> None:
    write("my_tools_1", MINE)
    async with open_toolbox(modules=["my_tools_1"]) as box:
        double = box.find("double", {BASIC})
        assert double.definition.sandboxed
        assert [double.asks({"number": number}) for number in (3, 4)] == [False, True]
        assert (await call(box, "double", number=21)).result == 42
        assert (await call(box, "whose")).status == "done"
        with pytest.raises(ValidationError, match="number"):
            await call(box, "double", number="21")


async def test_a_module_that_is_not_trusted_is_never_imported_here(write: Write) -> None:
    path = str(write("their_tools_1", THEIRS))
    async with open_toolbox(sandboxed=[path]) as box:
        assert "their_tools_1" not in sys.modules
        move = box.find("move", {BASIC})
        assert (move.definition.source, move.definition.sandboxed) == (path, True)
        assert (await call(box, "move", point={"x": 1})).result == {"x": 3, "way": "up"}
        assert move.asks({}), "its own word is not taken"
        failed = await call(box, "fail")
        assert failed.error is not None
        assert failed.error["code"] == "TOOL_FAILED"
        assert "it is not there" in failed.error["message"]
        with pytest.raises(ToolDenied):
            box.find("never", {BASIC})


async def test_at_its_limit_a_sandboxed_tool_is_killed_and_its_room_is_free(write: Write) -> None:
    path = str(write("their_tools_5", THEIRS))
    async with open_toolbox(sandboxed=[path], bounds=ToolBounds(per_session=1)) as box:
        for _ in range(2):
            spun = await call(box, "spin")
            assert box.running == 0
            assert spun.error is not None
            assert spun.error["code"] == "TOOL_TIMEOUT"
            assert 300 <= spun.ms < 1_300


async def test_what_does_not_fit_never_reaches_the_sandbox(write: Write) -> None:
    path = str(write("their_tools_2", THEIRS))
    async with open_toolbox(sandboxed=[path]) as box:
        tool = box.find("move", {BASIC})
        assert tool.check({"point": {"x": 0}}) == {"point": {"x": 0}, "by": 2, "way": "up"}
        for given, path in (({"point": {"x": -1}}, "point.x"), ({"by": "2"}, "by")):
            with pytest.raises(ValidationError) as refused:
                tool.check({"point": {"x": 0}, **given})
            assert [where for where, _ in refused.value.faults] == [path]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "the module my_tools_2 cannot be imported: ModuleNotFoundError"),
        ("1 / 0", "the module my_tools_2 cannot be imported: ZeroDivisionError"),
        ("", "the module my_tools_2 has no tools"),
        (MINE.replace("whose", "calculate"), "two tools are called calculate"),
    ],
)
async def test_a_module_that_cannot_be_used_stops_the_start(
    write: Write, text: str | None, told: str
) -> None:
    if text is not None:
        write("my_tools_2", text)
    with pytest.raises(ValueError, match=told):
        async with open_toolbox(modules=["my_tools_2"]):
            pass


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("1 / 0", "cannot be used: ZeroDivisionError"),
        ("", "it has no tools"),
        (THEIRS.replace("move", "calculate"), "two tools are called calculate"),
    ],
)
async def test_neither_does_one_that_is_not_trusted(write: Write, text: str, told: str) -> None:
    path = str(write("their_tools_3", text))
    with pytest.raises(ValueError, match=told):
        async with open_toolbox(sandboxed=[path]):
            pass


async def test_where_the_sandbox_cannot_hold_what_needs_it_is_refused(
    write: Write, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write("my_tools_3", MINE)
    path = str(write("their_tools_4", THEIRS))
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(ValueError, match=r"my_tools_3 would run in the sandbox, .* use Linux"):
        async with open_toolbox(modules=["my_tools_3"]):
            pass
    with pytest.raises(ValueError, match="which cannot hold here: darwin"):
        async with open_toolbox(sandboxed=[path]):
            pass
    async with open_toolbox() as box:
        assert "run_python" not in {definition.name for definition in box.all()}
    assert capsys.readouterr().out.count("sandbox_unfit") == 1


async def test_a_package_adds_tools_by_an_entry_point(write: Write, tmp_path: Path) -> None:
    write("shop_tools", MINE)
    about = tmp_path / "shop-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: shop\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[talksy.tools]\nshop = shop_tools\n")
    # Named twice, it is there once.
    async with open_toolbox(modules=["shop_tools"]) as box:
        assert box.find("whose", {BASIC}).definition.source == "shop_tools"
    (about / "entry_points.txt").write_text("[talksy.tools]\nshop = shop_tools:os\n")
    with pytest.raises(ValueError, match='"shop" of the package shop'):
        async with open_toolbox():
            pass

"""Tools of MCP servers that are processes of ours."""

import os
from pathlib import Path

import pytest

from talksy.errors import ValidationError
from tests.integration.mcp.rig import CALLER, liar, office, rig, until


async def test_a_call_goes_to_the_server_and_is_cancelled_there(tmp_path: Path) -> None:
    note = tmp_path / "cancelled"
    async with rig(office=office(tools={"wait": {"timeout_ms": 300}})) as here:
        code, _ = await here.error("office__wait", path=str(note))
        assert code == "TOOL_TIMEOUT"
        await until(note.exists, "the server heard that it is cancelled")
        result = await here.call("office__add", a=1, b=2)
        assert (result.status, result.result) == ("done", {"result": 3})


async def test_arguments_are_checked_before_the_server_hears_of_them() -> None:
    async with rig(liar=liar("picky")) as here:
        with pytest.raises(ValidationError) as caught:
            await here.call("liar__ask", a="one")
        assert caught.value.faults == (
            ("", '"b" is a required property'),
            ("a", 'is not of type "integer"'),
        )


async def test_a_person_is_asked_unless_the_operator_says_otherwise() -> None:
    said = {
        "t0": {"policy": "auto", "scope": "tools:sums", "idempotent": True},
        "t1": {"policy": "deny", "timeout_ms": 1},
    }
    async with rig(liar=liar("crowd", tools=said, timeout_ms=500)) as here:
        told = {each.name: each for each in here.toolbox.all()}
    first, second, third = (told[f"liar__t{i}"] for i in range(3))
    assert (first.policy, first.scope, first.idempotent) == ("auto", "tools:sums", True)
    assert (second.policy, second.timeout_ms) == ("deny", 1)
    assert (third.policy, third.timeout_ms, third.idempotent) == ("ask", 500, False)
    assert third.source == "mcp:liar"


async def test_only_the_wanted_tools_are_taken() -> None:
    async with rig(liar=liar("crowd", include=["t1?", "t2"], exclude=["t1[1-9]"])) as here:
        assert here.names() == ["liar__t10", "liar__t2"]


async def test_a_server_is_given_what_is_listed_and_the_effect_of_a_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("JWT_SECRET", "not for you")
    async with rig(liar=liar("open", env={"PLACE": "here"})) as here:
        given = (await here.call("liar__ask")).result
    assert given["environment"]["PLACE"] == "here"
    # What Python and macOS set by themselves.
    assert set(given["environment"]) - {"LC_CTYPE", "__CF_USER_TEXT_ENCODING"} == {"PATH", "PLACE"}
    assert given["effect"]["talksy/effectId"] == "eff_1"


async def test_pictures_are_told_of_but_not_shown() -> None:
    async with rig(liar=liar("photo")) as here:
        assert (await here.call("liar__ask")).result == [
            {"type": "text", "text": "done"},
            {"type": "image", "mimeType": "image/png", "bytes": 4},
        ]


async def test_a_server_that_dies_in_a_call_comes_back() -> None:
    async with rig(office=office()) as here:
        code, message = await here.error("office__die")
        assert code == "TOOL_FAILED"
        assert "went away in the call (it ended): whether it did" in message
        await until(lambda: here.names() == [], "its tools are gone with it")
        await until(lambda: "office__add" in here.names(), "it was started again")
        assert (await here.call("office__add", a=1, b=1)).status == "done"


async def test_a_tool_whose_server_is_away_fails_at_once() -> None:
    async with rig(office=office()) as here:
        tool = here.toolbox.find("office__add", ["tools:basic"])
        await here.error("office__die")
        await until(lambda: here.names() == [], "its tools are gone with it")
        result = await here.toolbox.run(tool, {"a": 1, "b": 1}, CALLER)
        assert result.error == {
            "code": "TOOL_FAILED",
            "message": "The MCP server office is away.",
        }


async def test_a_new_tool_is_offered_as_soon_as_it_is_told_of() -> None:
    async with rig(office=office(), liar=liar("grow")) as here:
        await here.call("office__hire", person="ada")
        await until(lambda: "office__ada" in here.names(), "the newer protocol tells of it")
        await here.call("liar__ask")
        await until(lambda: "liar__more" in here.names(), "and so does the older")


async def test_ended_means_with_all_that_it_started(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    async with rig(liar=liar("orphan", str(note))) as here:
        assert here.names() == ["liar__ask"]
        child = int(note.read_text())
        os.kill(child, 0)
    await until(lambda: not _runs(child), "the child of the server is ended")


def _runs(pid: int) -> bool:
    """Whether it still does something: one that nobody has buried yet does not."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except ProcessLookupError:
        return False
    except FileNotFoundError:
        return Path("/proc/self").exists() is False

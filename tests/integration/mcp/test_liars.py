"""Servers that are not as they should be cost their own tools, and nobody else's."""

import asyncio
import time
from dataclasses import replace

import pytest
import structlog

from talksy.errors import ToolFailed
from talksy.tools import BASIC
from tests.integration.mcp.rig import CALLER, QUICK, liar, rig, until


async def test_a_schema_that_is_wrong_costs_its_own_tool() -> None:
    with structlog.testing.capture_logs() as lines:
        async with rig(liar=liar("schemas")) as here:
            assert here.names() == ["liar__first", "liar__last"]
    left = {line["tool"] for line in lines if line["event"] == "mcp_tool_left_out"}
    assert left == {"remote", "list", "text", "none", "deep", "huge", "doubling", "result", "last"}


@pytest.mark.parametrize("habit", ["endless", "crowd"])
async def test_a_list_without_an_end_is_cut(habit: str) -> None:
    with structlog.testing.capture_logs() as lines:
        async with rig(liar=liar(habit)) as here:
            assert len(here.names()) == (64 if habit == "crowd" else 0)
    assert "mcp_list_cut" in [line["event"] for line in lines]


@pytest.mark.parametrize(
    ("habit", "said"),
    [
        ("sorry", "liar__ask says that it failed: done"),
        ("refuse", "refused the call (-32602): not on a Sunday"),
        ("nonsense", "answered with what is no result of a tool"),
        ("results", 'broke its own outputSchema: n is not of type "integer"'),
        ("noise", "it does not speak the protocol"),
        ("flood", "it sent a message of more than 4194304 bytes"),
    ],
)
async def test_each_kind_of_failure_is_told_apart(habit: str, said: str) -> None:
    async with rig(liar=liar(habit)) as here:
        code, message = await here.error("liar__ask")
        assert code == "TOOL_FAILED"
        assert said in message


@pytest.mark.parametrize("habit", ["flood", "noise", "grumble"])
async def test_who_says_too_much_does_not_hold_up_others(habit: str) -> None:
    async with rig(liar=liar(habit), polite=liar("polite")) as here:
        longest, last, flood = 0.0, time.monotonic(), asyncio.create_task(here.call("liar__ask"))
        while not flood.done():
            await asyncio.sleep(0.001)
            longest, last = max(longest, time.monotonic() - last), time.monotonic()
        assert (await here.call("polite__ask")).status == "done"
    assert longest < 0.25


async def test_a_server_that_does_not_answer_stops_nobody() -> None:
    patience = replace(QUICK, connect=1.0)
    with structlog.testing.capture_logs() as lines:
        async with rig(patience, mute=liar("mute"), polite=liar("polite")) as here:
            assert here.names() == ["polite__ask"]
            assert here.state("mute").reason == "it did not answer within 1 s"
    told = [line["server"] for line in lines if line["event"] == "mcp_down"]
    assert told == ["mute"]


async def test_a_server_that_sleeps_through_a_call_is_replaced() -> None:
    async with rig(liar=liar("asleep", timeout_ms=200)) as here:
        code, _ = await here.error("liar__ask")
        assert code == "TOOL_TIMEOUT"
        await until(lambda: here.state("liar").reason is not None, "it is known to be gone")
        assert here.state("liar").reason == "it does not answer any more"
        await until(lambda: here.names() == ["liar__ask"], "another one stands in its place")


async def test_nobody_waits_for_a_server_that_does_not_read() -> None:
    async with rig(liar=liar("asleep")) as here:
        tool = here.toolbox.find("liar__ask", [BASIC])
        calls = [tool.run({"text": 1_000_000 * "x"}, CALLER) for _ in range(10)]
        ended = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(each) for each in ended} == {ToolFailed}
    assert "it does not read what it is sent" in str(ended[0])


async def test_what_a_server_asks_back_is_refused() -> None:
    async with rig(liar=liar("curious")) as here:
        assert (await here.call("liar__ask")).result == "done"


async def test_noise_on_stdout_is_passed_over() -> None:
    with structlog.testing.capture_logs() as lines:
        async with rig(liar=liar("banner")) as here:
            assert (await here.call("liar__ask")).result == "done"
    assert [line["event"] for line in lines].count("mcp_noise") == 1


async def test_stderr_is_for_debugging_and_has_an_end() -> None:
    with structlog.testing.capture_logs() as lines:
        async with rig(liar=liar("grumble")) as here:
            await here.call("liar__ask")
    said = [line for line in lines if line["event"] == "mcp_stderr"]
    assert {line["log_level"] for line in said} == {"debug"}
    assert len(said) == 200
    rest = sum(len(f"grumble {line}\n") for line in range(200, 5_000))
    assert [line["bytes"] for line in lines if line["event"] == "mcp_stderr_cut"] == [rest]


async def test_a_program_that_there_is_not_is_said_to_be_missing() -> None:
    async with rig(nobody={"command": "/nowhere/mcp"}) as here:
        assert here.state("nobody").reason == "it cannot be started (No such file or directory)"

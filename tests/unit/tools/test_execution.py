"""Whatever a tool does is a result, and its room is free when its work has ended."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from talksy.errors import NotFound, ToolBusy
from talksy.metrics import Metrics
from talksy.state import MemorySlots
from talksy.tools import Caller, ToolBounds, Toolbox, ToolResult
from tests.unit.tools.tools import ADA, Plain

SECRET = "ada@example.com"


@pytest.fixture
async def box() -> AsyncIterator[Toolbox]:
    async with Toolbox(bounds=ToolBounds(seconds=0.05, per_session=1, result_bytes=100)) as box:
        yield box


async def run(box: Toolbox, work: Any, **definition: Any) -> ToolResult:
    return await box.run(Plain(work, **definition), {}, ADA)


async def code(box: Toolbox, work: Any, **definition: Any) -> str:
    error = (await run(box, work, **definition)).error
    assert error is not None
    return str(error["code"])


async def test_a_result_says_how_long_it_took(box: Toolbox) -> None:
    async def work() -> dict[str, int]:
        await asyncio.sleep(0.02)
        return {"answer": 42}

    result = await run(box, work)
    assert (result.status, result.result, result.error) == ("done", {"answer": 42}, None)
    assert 15 <= result.ms <= 1000


async def test_what_a_tool_says_on_purpose_is_told(box: Toolbox) -> None:
    async def work() -> None:
        raise NotFound("There is no such order.")

    result = await run(box, work)
    assert result.error == {"code": "NOT_FOUND", "message": "There is no such order."}


async def test_any_other_failure_is_told_by_its_kind_alone(
    box: Toolbox, capsys: pytest.CaptureFixture[str]
) -> None:
    async def work() -> None:
        raise RuntimeError(f"{SECRET} is wrong")

    result = await run(box, work)
    told = {"code": "TOOL_FAILED", "message": "plain failed with RuntimeError."}
    assert (result.status, result.error) == ("failed", told)
    lines = [line for line in capsys.readouterr().out.splitlines() if "warning" in line]
    assert len(lines) == 1
    assert "test_execution:" in lines[0]
    assert SECRET not in lines[0]


async def test_a_tool_cannot_end_the_server(box: Toolbox) -> None:
    async def work() -> None:
        sys.exit(3)

    assert await code(box, work) == "TOOL_FAILED"


@pytest.mark.parametrize(
    "error", [asyncio.CancelledError, GeneratorExit, ExceptionGroup("", [OSError()])]
)
async def test_no_kind_of_failure_gets_out(box: Toolbox, error: Any) -> None:
    async def work() -> None:
        raise error

    assert await code(box, work) == "TOOL_FAILED"


async def test_a_long_complaint_is_cut(box: Toolbox) -> None:
    async def work() -> None:
        raise NotFound("no " * 10_000)

    error = (await run(box, work)).error
    assert error is not None
    assert len(error["message"]) == 2_000


async def test_at_its_limit_a_tool_is_cancelled(box: Toolbox) -> None:
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    assert await code(box, work) == "TOOL_TIMEOUT"
    assert ended.is_set()
    assert box.running == 0


async def test_its_own_limit_goes_before_the_usual_one(box: Toolbox) -> None:
    async def work() -> None:
        await asyncio.sleep(0.1)

    assert (await run(box, work, timeout_ms=5_000)).status == "done"


async def test_a_tool_that_ignores_its_end_keeps_its_room_until_it_has_ended(box: Toolbox) -> None:
    over = asyncio.Event()

    async def stubborn() -> None:
        while not over.is_set():
            try:
                await over.wait()
            except asyncio.CancelledError:
                continue

    assert await code(box, stubborn) == "TOOL_TIMEOUT"
    with pytest.raises(ToolBusy):
        await run(box, stubborn)
    over.set()

    async def quick() -> str:
        return "in"

    assert (await box.run(Plain(quick), {}, ADA, wait=5)).result == "in"


async def test_whoever_is_cancelled_takes_the_tool_along(box: Toolbox) -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        began.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    call = asyncio.create_task(run(box, work, timeout_ms=60_000))
    await began.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert ended.is_set()
    assert box.running == 0


async def test_who_waits_gets_the_next_room_and_takes_none_from_others() -> None:
    box = Toolbox(bounds=ToolBounds(per_session=2, per_node=3))
    full, over = asyncio.Event(), asyncio.Event()
    at_once = most = 0

    async def work() -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        if at_once == 3:
            full.set()
        await over.wait()
        at_once -= 1

    adas = [asyncio.create_task(box.run(Plain(work), {}, ADA, wait=5)) for _ in range(7)]
    bob = asyncio.create_task(box.run(Plain(work), {}, Caller("call_2", "usr_bob", "ses_2")))
    await full.wait()
    with pytest.raises(ToolBusy):
        await box.run(Plain(work), {}, Caller("call_3", "usr_eve", "ses_3"))
    over.set()
    results = await asyncio.gather(*adas, bob)
    assert [result.status for result in results] == 8 * ["done"]
    assert most == 3


async def test_no_room_is_said_at_once_or_after_the_wait(box: Toolbox) -> None:
    async def work() -> None:
        await asyncio.sleep(60)

    call = asyncio.create_task(run(box, work, timeout_ms=60_000))
    await asyncio.sleep(0)
    with pytest.raises(ToolBusy):
        await box.run(Plain(work), {}, ADA)
    began = time.monotonic()
    with pytest.raises(ToolBusy):
        await box.run(Plain(work), {}, ADA, wait=0.05)
    assert time.monotonic() - began >= 0.05
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)


async def test_calls_of_one_key_do_not_share_a_slot() -> None:
    """A client that names all its calls alike takes as much room as any other."""
    slots = MemorySlots()
    box = Toolbox(bounds=ToolBounds(per_session=2), slots=slots)
    over = asyncio.Event()

    async def work() -> None:
        await over.wait()

    calls = [asyncio.create_task(box.run(Plain(work), {}, ADA)) for _ in range(2)]
    await asyncio.sleep(0)
    assert len(slots) == 2
    with pytest.raises(ToolBusy):
        await box.run(Plain(work), {}, ADA)
    over.set()
    await asyncio.gather(*calls)
    assert len(slots) == 0


async def test_a_tool_that_holds_the_loop_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    metrics = Metrics()
    box = Toolbox(watcher=metrics.tools)

    async def polite() -> None:
        await asyncio.sleep(0.15)

    async def rude() -> None:
        await asyncio.sleep(0)
        time.sleep(0.12)  # noqa: ASYNC251 - that is what is rude

    await box.run(Plain(polite, "polite"), {}, ADA)
    await box.run(Plain(rude, "rude"), {}, ADA)
    said = capsys.readouterr().out
    assert "tool_held_loop" in said
    assert "rude" in said
    assert "polite" not in said
    assert 'talksy_tool_held_loop_total{tool="rude"} 1.0' in metrics.render()[0].decode()


async def test_metrics_count_how_calls_end() -> None:
    metrics = Metrics()
    box = Toolbox(watcher=metrics.tools, bounds=ToolBounds(per_session=1))

    async def fail() -> None:
        raise RuntimeError

    async def busy() -> None:
        with pytest.raises(ToolBusy):
            await box.run(Plain(busy), {}, ADA)

    await box.run(Plain(busy), {}, ADA)
    await box.run(Plain(fail), {}, ADA)
    text = metrics.render()[0].decode()
    for outcome in ("done", "TOOL_FAILED", "TOOL_BUSY"):
        assert f'talksy_tool_calls_total{{outcome="{outcome}",tool="plain"}} 1.0' in text
    assert 'talksy_tools_running{tool="plain"} 0.0' in text
    assert 'talksy_tool_wait_seconds_count{tool="plain"} 3.0' in text


@pytest.mark.parametrize(
    "value",
    [float("nan"), [1, float("inf")], object(), {"deep": {1, object()}}, 2**70, "\ud800"],
    ids=["NaN", "infinity", "an object", "one inside", "a number too large", "half a character"],
)
async def test_what_json_cannot_carry_is_a_failure_with_a_clear_text(
    box: Toolbox, value: object
) -> None:
    async def work() -> object:
        return value

    result = await run(box, work)
    assert result.error is not None
    assert result.error["code"] == "TOOL_FAILED"
    assert result.error["message"].startswith("The tool returned what JSON cannot carry: ")


@pytest.mark.parametrize("value", ["ä" * 1000, "\0" * 1000, [{"n": n} for n in range(100)]])
async def test_a_result_that_is_too_long_is_cut_and_says_so(box: Toolbox, value: object) -> None:
    async def work() -> object:
        return value

    result = await run(box, work)
    assert result.status == "done"
    assert "(cut: this is the beginning of " in result.result
    assert result.result[0] == (value[0] if isinstance(value, str) else "[")

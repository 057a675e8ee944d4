"""Turns run into mirrors, and each has one ending that its row had first."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from talksy.ai.llm import Answering
from talksy.database import Database
from talksy.errors import Overloaded, ProviderUnavailable, TurnNotFound
from talksy.events import Chunk, Ending, Started, StreamReset
from talksy.journal import Bounds
from tests.integration.database.opened import until
from tests.integration.database.rows import NOW
from tests.integration.journal.rig import Rig, node, serving
from tests.unit.conversation.script import Script


@pytest.fixture
async def rig(database: Database, file: Path) -> AsyncIterator[Rig]:
    async with serving(node(database, file)) as opened:
        yield opened


async def test_a_streamed_turn_is_numbered_from_its_start_to_its_ending(rig: Rig) -> None:
    await rig.say("m1")
    ending = await rig.ending("m1")
    assert rig.client("m1").got == [
        (0, Started("m1")),
        (1, Chunk("hel", 0)),
        (2, Chunk("lo", 1)),
        (3, ending),
    ]
    assert (ending.reason, ending.text, ending.chunks) == ("completed", None, 2)
    assert (ending.provider, ending.model, ending.ended_at) == ("script", "script-1", NOW + 1)


async def test_a_plain_turn_is_its_ending_alone(rig: Rig) -> None:
    turn = await rig.say("m1", streamed=False)
    ending = await rig.ending("m1")
    assert rig.client("m1").got == [(0, ending)]
    assert (ending.text, ending.chunks) == ("hello", 0)
    assert rig.row(turn.turn_id, "status, text, events, chunks") == ("completed", "hello", 0, 0)


async def test_the_ending_is_committed_before_anybody_is_told(rig: Rig) -> None:
    seen: list[Any] = []
    client = rig.client("m1")
    admission = await rig.say("m1")
    mirror = rig.journal.mirror(admission.turn_id)
    assert mirror is not None
    client.on_wake = lambda: seen.append((mirror.end is not None, rig.row(admission.turn_id)))
    await rig.ending("m1")
    assert [row for ended, row in seen if ended] == [("completed", "hello")]
    assert {row for ended, row in seen if not ended} <= {("running", ""), ("running", "hel")}
    said = await rig.history.read("ses_1", 10)
    assert [message.content for message in said or ()] == ["m1", "hello"]


async def test_a_stopped_turn_has_ended_when_the_stop_returns(rig: Rig) -> None:
    model = Script("hel", asyncio.Event())
    rig.models["m1"] = model
    admission = await rig.say("m1")
    await model.idle.wait()
    ending = await rig.journal.stop(admission.turn_id, "cancelled")
    assert ending is not None
    assert (ending.reason, ending.text) == ("cancelled", "hel")
    assert await rig.ending("m1") == ending
    assert rig.row(admission.turn_id) == ("cancelled", "hel")
    assert model.open == 0
    await until(lambda: not rig.journal.running)
    assert await rig.journal.stop(admission.turn_id, "cancelled") is None


async def test_a_turn_stopped_before_its_first_step_ends_once_too(rig: Rig) -> None:
    admission = await rig.say("m1")
    rig.journal.halt(admission.turn_id, "interrupted")
    rig.journal.halt("trn_unknown", "interrupted")
    ending = await rig.ending("m1")
    assert (ending.reason, ending.text) == ("interrupted", "")
    assert [type(event) for _, event in rig.client("m1").got] == [Started, Ending]
    assert await rig.journal.stop("trn_unknown", "cancelled") is None


async def test_what_waits_runs_when_its_lane_is_free(rig: Rig) -> None:
    go_on = asyncio.Event()
    await rig.say("m1", go_on)
    await rig.say("m2")
    await rig.say("m3", on_busy="interrupt")
    assert rig.announced in ([], ["m1"])
    go_on.set()
    await rig.ending("m2")
    assert rig.announced == ["m1", "m3", "m2"]
    assert not rig.journal.of("ses_1")


async def test_only_what_runs_in_a_session_is_its_own(rig: Rig) -> None:
    admission = await rig.say("m1", asyncio.Event())
    assert [mirror.turn_id for mirror in rig.journal.of("ses_1")] == [admission.turn_id]
    assert rig.journal.of("ses_2") == []
    assert rig.journal.running == 1


@pytest.mark.parametrize(
    ("bounds", "steps", "code", "text"),
    [
        (Bounds(events=3, coalesce_ms=0), ["a", "b", "c", "d"], "PAYLOAD_TOO_LARGE", "ab"),
        (Bounds(text_bytes=4, coalesce_ms=0), ["ää", "b"], "PAYLOAD_TOO_LARGE", "ää"),
        (Bounds(seconds=0.01), ["ab", asyncio.Event()], "PROVIDER_TIMEOUT", "ab"),
    ],
    ids=["events", "bytes", "seconds"],
)
async def test_a_turn_is_bounded(
    database: Database, file: Path, bounds: Bounds, steps: list[Any], code: str, text: str
) -> None:
    async with serving(node(database, file, bounds=bounds)) as rig:
        admission = await rig.say("m1", *steps)
        ending = await rig.ending("m1")
    assert (ending.reason, ending.text) == ("failed", text)
    assert ending.error is not None
    assert ending.error["code"] == code
    assert rig.row(admission.turn_id) == ("failed", text)
    assert rig.client("m1").text == text


async def test_merged_text_is_given_on_although_the_model_stalls(
    database: Database, file: Path
) -> None:
    bounds = Bounds(coalesce_ms=5, coalesce_bytes=1_000)
    async with serving(node(database, file, bounds=bounds)) as rig:
        await rig.say("m1", "a", None, "b", "c", asyncio.Event())
        await until(lambda: rig.client("m1").text == "abc")
        assert [event for _, event in rig.client("m1").got[1:]] == [Chunk("a", 0), Chunk("bc", 1)]


async def test_what_is_held_is_given_before_the_ending(database: Database, file: Path) -> None:
    bounds = Bounds(coalesce_ms=3_600_000, coalesce_bytes=1_000)
    async with serving(node(database, file, bounds=bounds)) as rig:
        await rig.say("m1", "a", None, "b", "c")
        ending = await rig.ending("m1")
    assert rig.client("m1").text == "abc"
    assert (ending.text, ending.chunks) == (None, 2)


async def test_what_can_be_neither_stored_nor_sent_is_replaced(rig: Rig) -> None:
    admission = await rig.say("m1", "a\ud83d", "b\0", "\ud83d\ude00")
    await rig.ending("m1")
    assert rig.client("m1").text == "a\ufffdb\ufffd😀"
    assert rig.row(admission.turn_id) == ("completed", "a\ufffdb\ufffd😀")


async def test_it_is_replaced_in_errors_too(rig: Rig) -> None:
    await rig.say("m1", ProviderUnavailable("a\0b\ud83d"))
    ending = await rig.ending("m1")
    assert ending.error == {"code": "PROVIDER_UNAVAILABLE", "message": "a\ufffdb\ufffd"}


async def test_a_reset_has_a_number_and_voids_what_came(rig: Rig) -> None:
    reset = StreamReset("provider_unavailable")
    admission = await rig.say("m1", "abc", "def", reset, Answering("b", "b-1", True), "x")
    ending = await rig.ending("m1")
    assert [event for _, event in rig.client("m1").got[1:-1]] == [
        Chunk("abc", 0),
        Chunk("def", 1),
        reset,
        Chunk("x", 0),
    ]
    assert (ending.text, ending.chunks, ending.provider, ending.degraded) == (None, 1, "b", True)
    assert rig.row(admission.turn_id) == ("completed", "x")


async def test_a_reset_of_a_plain_turn_is_not_seen(rig: Rig) -> None:
    await rig.say("m1", "abc", StreamReset("provider_timeout"), "x", streamed=False)
    ending = await rig.ending("m1")
    assert [event for _, event in rig.client("m1").got] == [ending]
    assert ending.text == "x"


async def test_a_checkpoint_after_a_reset_has_the_new_text_however_short(rig: Rig) -> None:
    go_on = asyncio.Event()
    reset = StreamReset("provider_timeout")
    admission = await rig.say("m1", "a long text", go_on, reset, "x", asyncio.Event())
    await until(lambda: rig.row(admission.turn_id, "text") == ("a long text",))
    go_on.set()
    await until(lambda: rig.row(admission.turn_id, "text, events, chunks") == ("x", 4, 1))


async def test_text_that_is_held_when_its_answer_is_void_is_not_given(
    database: Database, file: Path
) -> None:
    bounds = Bounds(coalesce_ms=3_600_000, coalesce_bytes=1_000)
    async with serving(node(database, file, bounds=bounds)) as rig:
        await rig.say("m1", "a", None, "held", StreamReset("provider_timeout"), "x")
        await rig.ending("m1")
        assert rig.client("m1").text == "ax"


async def test_a_turn_that_cannot_be_composed_fails_by_a_number(rig: Rig) -> None:
    rig.faults["compose"] = ValueError("our secret")
    with capture_logs() as logs:
        await rig.say("m1")
        ending = await rig.ending("m1")
    assert ending.reason == "failed"
    assert ending.error is not None
    assert ending.error["code"] == "INTERNAL_ERROR"
    assert "secret" not in str(ending.error)
    assert ending.error["requestId"] in [line.get("request_id") for line in logs]


async def test_a_turn_whose_context_cannot_be_read_says_that_it_may_be_tried_again(
    rig: Rig,
) -> None:
    rig.faults["compose"] = Overloaded()
    await rig.say("m1")
    ending = await rig.ending("m1")
    assert ending.error is not None
    assert (ending.reason, ending.error["code"]) == ("failed", "OVERLOADED")


async def test_a_turn_nobody_could_be_told_of_goes_on(rig: Rig) -> None:
    rig.faults["announce"] = ValueError()
    with capture_logs() as logs:
        await rig.say("m1")
        assert (await rig.ending("m1")).reason == "completed"
    assert "announce_failed" in [line["event"] for line in logs]


async def test_a_dropped_turn_is_announced_with_its_ending(rig: Rig) -> None:
    await rig.say("m1", asyncio.Event())
    waiting = (await rig.say("m2")).turn_id
    row = await rig.lane.drop("ses_1", waiting, NOW)
    assert row is not None
    await rig.journal.dropped(row)
    assert rig.client("m2").got == [(0, Ending("cancelled", "", ended_at=NOW))]
    assert rig.journal.mirror(waiting) is not None


async def test_a_turn_that_another_node_ended_is_told_as_its_row_says(rig: Rig) -> None:
    admission = await rig.say("m1", "hel", go_on := asyncio.Event(), "lo")
    assert admission.started is not None
    theirs = Ending("interrupted", "he", ended_at=NOW + 7)
    assert (await rig.lane.finish(admission.started, theirs, events=2)).won
    go_on.set()
    assert await rig.ending("m1") == theirs


# ---- reading


async def test_a_reader_that_comes_later_gets_the_rest(rig: Rig) -> None:
    admission = await rig.say("m1", "hel", "lo", go_on := asyncio.Event())
    await until(lambda: rig.client("m1").text == "hello")
    reader = await rig.journal.read("ses_1", admission.turn_id, 1, lambda: None)
    assert reader is not None
    assert reader.take() == (2, Chunk("lo", 1))
    assert reader.take() is None
    go_on.set()
    await rig.ending("m1")
    assert reader.take() == (3, rig.client("m1").got[-1][1])


async def test_a_turn_is_read_in_its_session_alone(rig: Rig) -> None:
    admission = await rig.say("m1")
    for session_id, turn_id in (("ses_2", admission.turn_id), ("ses_1", "trn_unknown")):
        with pytest.raises(TurnNotFound):
            await rig.journal.read(session_id, turn_id, -1, lambda: None)


async def test_a_turn_that_waits_has_nothing_to_read_yet(rig: Rig) -> None:
    await rig.say("m1", asyncio.Event())
    waiting = (await rig.say("m2")).turn_id
    assert await rig.journal.read("ses_1", waiting, -1, lambda: None) is None


async def test_a_turn_that_starts_while_it_is_looked_for_is_found(rig: Rig) -> None:
    for number in range(20):
        await rig.say(f"a{number}", go_on := asyncio.Event())
        waiting = (await rig.say(f"b{number}")).turn_id
        go_on.set()
        while (reader := await rig.journal.read("ses_1", waiting, -1, lambda: None)) is None:
            pass
        reader.close()
        await rig.ending(f"b{number}")


async def test_an_ended_turn_is_forgotten_and_read_from_its_row(
    database: Database, file: Path
) -> None:
    rig = node(database, file)
    rig.journal._keep = replace(rig.journal._keep, ended_seconds=0)
    async with serving(rig):
        admission = await rig.say("m1")
        await until(lambda: rig.journal.mirror(admission.turn_id) is None)
        reader = await rig.journal.read("ses_1", admission.turn_id, 1, lambda: None)
        assert reader is not None
        number, ending = reader.take() or (None, None)
        assert isinstance(ending, Ending)
        assert (number, ending.reason, ending.text) == (2, "completed", "hello")
        with pytest.raises(TurnNotFound):
            await rig.journal.read("ses_2", admission.turn_id, 1, lambda: None)


async def test_an_ended_turn_stays_for_a_reader_that_lags(database: Database, file: Path) -> None:
    rig = node(database, file)
    rig.journal._keep = replace(rig.journal._keep, ended_seconds=0)
    async with serving(rig):
        slow = await rig.say("m1", "hel", go_on := asyncio.Event(), "lo")
        reader = await rig.journal.read("ses_1", slow.turn_id, 0, lambda: None)
        assert reader is not None
        go_on.set()
        await rig.ending("m1")
        other = await rig.say("m2")
        await until(lambda: rig.journal.mirror(other.turn_id) is None)
        assert [reader.take() for _ in range(2)] == [(1, Chunk("hel", 0)), (2, Chunk("lo", 1))]
        reader.close()
        await until(lambda: rig.journal.mirror(slow.turn_id) is None)


async def test_a_node_that_holds_too_much_says_so(database: Database, file: Path) -> None:
    rig = node(database, file)
    rig.journal._keep = replace(rig.journal._keep, bytes=1_000, ended_seconds=0)
    async with serving(rig):
        admission = await rig.say("m1", "x" * 1_000, asyncio.Event())
        await until(lambda: rig.journal.full)
        await rig.journal.stop(admission.turn_id, "cancelled")
        await until(lambda: not rig.journal.full)

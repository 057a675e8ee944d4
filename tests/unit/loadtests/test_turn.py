"""A load test must see every loss, and none that is not there."""

from typing import Any

import pytest

from loadtests.turn import Turn, tokens

Events = list[tuple[str, dict[str, Any]]]


def stream(count: int, **ending: Any) -> Events:
    """A streamed answer of so many chunks, a token each."""
    chunks = [
        ("stream_chunk", {"seq": at + 1, "index": at, "content": f"{at} "}) for at in range(count)
    ]
    end = {"seq": count + 1, "reason": "completed", "chunks": count, **ending}
    return [("stream_start", {"seq": 0}), *chunks, ("stream_end", end)]


def read(events: Events, text: str | None = None, at: float = 0.0) -> Turn:
    """What is found of these."""
    turn = Turn("trn_1", at, tokens(5) if text is None else text)
    for number, (event, data) in enumerate(events):
        turn.take(event, data, at + number)
    return turn


def found(turn: Turn) -> tuple[int, int, int, bool]:
    return turn.lost, turn.repeated, turn.endings, bool(turn.wrong)


def test_an_answer_as_it_must_be_is_without_a_fault() -> None:
    turn = read(stream(5))
    assert found(turn) == (0, 0, 1, False), turn
    assert not turn.fault
    assert (turn.given, turn.chunks, turn.first, turn.gap) == ("0 1 2 3 4 ", 5, 1.0, 1.0)


@pytest.mark.parametrize("at", range(6))
def test_whatever_is_dropped_is_lost(at: int) -> None:
    events = stream(5)
    del events[at]
    assert found(read(events)) == (1, 0, 1, False)
    assert "are missing" in read(events).fault


def test_without_its_ending_it_has_none() -> None:
    assert found(read(stream(5)[:-1])) == (0, 0, 0, False)
    assert read(stream(5)[:-1]).fault == "a turn has 0 endings"


@pytest.mark.parametrize("at", range(7))
def test_whatever_comes_twice_is_repeated(at: int) -> None:
    events = stream(5)
    events.insert(at, events[at])
    assert found(read(events)) == (0, 1, 2 if at == 6 else 1, False)
    assert "came twice" in read(events).fault


@pytest.mark.parametrize("at", range(1, 5))
def test_what_changes_places_is_lost_and_comes_late(at: int) -> None:
    events = stream(5)
    events[at], events[at + 1] = events[at + 1], events[at]
    assert found(read(events)) == (1, 1, 1, False)


@pytest.mark.parametrize(
    ("events", "says"),
    [
        (stream(4), "another text"),
        (stream(5, chunks=6), "the ending counts 6"),
        (stream(5, text="0 1 x"), "takes back"),
        (stream(5, reason="failed", error={"code": "INTERNAL_ERROR"}), "with INTERNAL_ERROR"),
        (stream(5, reason="interrupted"), "it ended interrupted"),
        ([*stream(2)[:2], ("stream_chunk", {"seq": 2, "index": 1, "content": "7 "})], "next piece"),
        ([*stream(2)[:2], ("stream_chunk", {"seq": 2, "index": 4, "content": "1 "})], "was due"),
    ],
)
def test_what_is_not_what_it_must_be_is_told(events: Events, says: str) -> None:
    assert says in read(events).wrong


def test_an_answer_that_begins_again_counts_from_there() -> None:
    start, first, *_ = stream(5)
    again = [("stream_reset", {"seq": 2})]
    rest = [(name, {**data, "seq": data["seq"] + 2}) for name, data in stream(5)[1:]]
    assert found(read([start, first, *again, *rest])) == (0, 0, 1, False)


def test_what_was_cancelled_is_the_beginning() -> None:
    assert not read([*stream(5)[:3], ("stream_end", {"seq": 3, "reason": "cancelled"})]).wrong
    end = {"seq": 3, "reason": "cancelled", "text": "0 1 9 "}
    assert read([*stream(5)[:3], ("stream_end", end)]).wrong


def test_a_silence_without_a_connection_is_no_gap() -> None:
    turn = Turn("trn_1", 0.0)
    turn.take("stream_chunk", {"seq": 0, "index": 0, "content": "a"}, 1.0)
    turn.interrupted()
    turn.take("stream_chunk", {"seq": 1, "index": 1, "content": "b"}, 9.0)
    turn.take("stream_chunk", {"seq": 2, "index": 2, "content": "c"}, 9.5)
    assert turn.gap == 0.5


def test_a_tool_has_one_result() -> None:
    call, result = {"callId": "call_1"}, {"callId": "call_1", "success": True}
    events: Events = [("tool_call", {"seq": 0, **call}), ("tool_result", {"seq": 1, **result})]
    assert not read(events).wrong
    assert "twice" in read([*events, ("tool_result", {"seq": 2, **result})]).wrong
    assert "nobody asked" in read([("tool_result", {"seq": 0, **result})]).wrong

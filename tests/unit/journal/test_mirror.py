"""A turn's events under their numbers, and the cursors of those who read it."""

import pytest
from structlog.testing import capture_logs

from talksy.events import Chunk, Ending, Reason, Started
from talksy.journal import Mirror, Reader
from talksy.journal.mirror import ending_of, opened
from talksy.messages import Usage
from tests.unit.journal.turns import turn


def read(mirror: Mirror, after: int = -1) -> list[tuple[int, object]]:
    reader = Reader(mirror, after, lambda: None)
    taken: list[tuple[int, object]] = []
    while event := reader.take():
        taken.append(event)
    return taken


def spoken(*texts: str) -> Mirror:
    mirror = opened(turn())
    for index, text in enumerate(texts):
        mirror.append(Chunk(text, index), len(text.encode()))
    return mirror


def test_a_streamed_turn_begins_with_its_start_and_a_plain_one_with_nothing() -> None:
    assert read(opened(turn())) == [(0, Started("msg_1"))]
    assert read(opened(turn(streamed=False))) == []


def test_a_reader_gets_what_follows_its_number() -> None:
    mirror = spoken("a", "b")
    mirror.finish(Ending("completed", "ab"))
    ending = Ending("completed", None)
    assert read(mirror) == [
        (0, Started("msg_1")),
        (1, Chunk("a", 0)),
        (2, Chunk("b", 1)),
        (3, ending),
    ]
    assert read(mirror, after=1) == [(2, Chunk("b", 1)), (3, ending)]
    assert read(mirror, after=2) == [(3, ending)]


@pytest.mark.parametrize("reason", ["cancelled", "interrupted", "failed"])
def test_the_text_stands_in_an_ending_that_did_not_complete(reason: Reason) -> None:
    mirror = spoken("a")
    mirror.finish(Ending(reason, "a"))
    assert read(mirror)[-1] == (2, Ending(reason, "a"))


def test_the_text_stands_in_the_ending_of_a_plain_turn() -> None:
    mirror = opened(turn(streamed=False))
    mirror.finish(Ending("completed", "ab"))
    assert read(mirror) == [(0, Ending("completed", "ab"))]


def test_a_turn_of_which_the_row_is_left_ends_with_its_text_wherever_a_reader_was() -> None:
    row = turn(status="completed", text="ab", events=3, ended_at=7)
    for after in (-1, 0, 2, 9):
        (only,) = read(Mirror.past(row), after)
        assert only == (after + 1, Ending("completed", "ab", ended_at=7))


def test_a_reader_ahead_of_the_turn_waits_for_what_follows_its_number() -> None:
    mirror = spoken("a")
    reader = Reader(mirror, 2, lambda: None)
    mirror.append(Chunk("b", 1))
    assert reader.take() is None
    mirror.append(Chunk("c", 2))
    assert reader.take() == (3, Chunk("c", 2))


def test_an_ending_comes_next_for_a_reader_that_was_ahead() -> None:
    mirror = spoken("a")
    reader = Reader(mirror, 5, lambda: None)
    mirror.finish(Ending("completed", "a"))
    assert reader.take() == (6, Ending("completed", "a")), "its chunks may not be these"


def test_readers_are_called_for_each_event_until_they_are_over() -> None:
    mirror, calls = spoken(), []
    reader = Reader(mirror, -1, lambda: calls.append(mirror.last_seq))
    mirror.append(Chunk("a", 0))
    mirror.append(Chunk("b", 1))
    reader.close()
    mirror.finish(Ending("completed", "ab"))
    assert calls == [1, 2]
    assert (reader.over, reader.take(), mirror.readers) == (True, None, ())


def test_a_reader_may_leave_while_it_is_called() -> None:
    mirror = spoken()
    readers: list[Reader] = []

    def leave() -> None:
        for reader in readers:
            reader.close()

    readers += [Reader(mirror, -1, leave) for _ in range(3)]
    mirror.append(Chunk("a", 0))
    assert not mirror.readers


def test_a_reader_that_explodes_hurts_neither_the_turn_nor_the_others() -> None:
    def explode() -> None:
        raise ValueError

    mirror, calls = spoken(), []
    Reader(mirror, -1, explode)
    Reader(mirror, -1, lambda: calls.append(mirror.last_seq))
    with capture_logs() as logs:
        mirror.append(Chunk("a", 0))
        mirror.finish(Ending("completed", "a"))
    assert calls == [1, 2]
    assert [line["event"] for line in logs] == ["reader_failed"]


def test_a_turn_ends_once() -> None:
    mirror = spoken()
    mirror.finish(Ending("completed", ""))
    with pytest.raises(RuntimeError, match="trn_1 has ended"):
        mirror.finish(Ending("failed", ""))


def test_the_last_number_counts_the_ending() -> None:
    mirror = spoken("a")
    assert mirror.last_seq == 1
    mirror.finish(Ending("completed", "a"))
    assert mirror.last_seq == 2
    assert opened(turn(streamed=False)).last_seq == -1


def test_memory_is_counted_in_bytes_of_text_and_events() -> None:
    assert spoken("ä" * 50).bytes - spoken().bytes == 300
    assert spoken().bytes == 400


def test_a_rows_ending_tells_all_it_knows() -> None:
    row = turn(
        status="failed",
        text="half",
        chunks=2,
        provider="p",
        model="m",
        usage=Usage(1, 2),
        error={"code": "X"},
        degraded=True,
        ended_at=9,
    )
    assert ending_of(row) == Ending(
        "failed", "half", 2, "p", "m", Usage(1, 2), {"code": "X"}, True, 9
    )

"""The checker finds every fault it is there for."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.faults.crowd import Kept, Plan, Report
from tests.faults.reader import Told
from tests.faults.rows import ROWS
from tests.faults.verdict import Verdict, judge

PLAN = Plan(["a", "b", "c"], turns=1, tokens=4, rate=50)
WHOLE = "0 1 2 3 "
NONE = next(row for row in ROWS if row.name == "none")
KILLED = next(row for row in ROWS if row.name == "node killed")

Event = tuple[str, dict[str, Any]]


def course(reason: str = "completed", tokens: int = 4, **ending: Any) -> list[Event]:
    """What a reader is told where all is well."""
    chunks = [chunk(i + 1, f"{i} ") for i in range(tokens)]
    end = {"seq": tokens + 1, "reason": reason, **ending}
    return [("stream_start", {"seq": 0}), *chunks, ("stream_end", end)]


def chunk(number: int, content: str) -> Event:
    return "stream_chunk", {"seq": number, "index": number - 1, "content": content}


def judged(*courses: list[Event], text: str = WHOLE, **answer: Any) -> Verdict:
    """The verdict on readers of one turn, of which the history has ``text``."""
    told = [Told(0, home=place == 0) for place in range(len(courses))]
    for one, events in zip(told, courses, strict=True):
        for name, it in events:
            one.take(name, it)
    kept = Kept(questions=1, answers=[{"content": text, **answer}], turn_id="trn_1")
    return judge(PLAN, Report(told, [kept]), None)


def test_what_is_as_it_must_be_is_not_complained_of() -> None:
    verdict = judged(course(), course(text=WHOLE))
    assert NONE.complaints(verdict, PLAN) == []
    assert verdict.turns == {"completed": 1}


def without(number: int) -> list[Event]:
    return [event for event in course() if event[1]["seq"] != number]


def twice(number: int) -> list[Event]:
    return sorted([*course(), course()[number]], key=lambda event: event[1]["seq"])


def swapped() -> list[Event]:
    """In order, without a gap, but not what belongs there."""
    events = course()
    events[2], events[3] = chunk(2, "2 "), chunk(3, "1 ")
    return events


@pytest.mark.parametrize(
    ("told", "where"),
    [
        (without(2), lambda verdict: verdict.lost),
        (twice(2), lambda verdict: verdict.repeated),
        (swapped(), lambda verdict: verdict.wrong),
        (course()[:-1], lambda verdict: verdict.endings),
        (twice(5), lambda verdict: verdict.endings),
        ([*course(), chunk(6, "4 ")], lambda verdict: verdict.wrong),
        (course(tokens=3), lambda verdict: verdict.lost),
        (course(text="0 1 2 "), lambda verdict: verdict.unlike),
        (course("failed"), lambda verdict: verdict.unlike),
    ],
    ids=["gap", "repeat", "swap", "no end", "two ends", "late", "short", "other text", "reason"],
)
def test_what_a_reader_was_told_wrongly_is_found(
    told: list[Event], where: Callable[[Verdict], int]
) -> None:
    verdict = judged(course(), told)
    assert where(verdict) > 0
    assert verdict.faults
    assert NONE.complaints(verdict, PLAN)


def test_a_completed_turn_that_the_history_has_in_part_is_lost_in_part() -> None:
    verdict = judged(course(), text="0 1 ")
    assert verdict.lost == 2


def test_what_the_history_has_not_is_void_and_only_so_much_of_it_may_be() -> None:
    some = judged(course("interrupted", 3, text="0 1 "), text="0 1 ", interrupted=True)
    assert (some.void, some.lost, some.unlike) == (1, 0, 0)
    assert KILLED.complaints(some, PLAN) == []
    assert NONE.complaints(some, PLAN)

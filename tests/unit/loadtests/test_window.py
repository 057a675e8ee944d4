"""A limiter that is off by one is found, and one that is right is not blamed."""

import pytest

from loadtests.window import Moment, miscounted


def moments(count: int, start: float = 0.0, each: float = 0.01) -> list[Moment]:
    """So many, one after the other."""
    return [(start + at * each, start + (at + 1) * each) for at in range(count)]


@pytest.mark.parametrize(
    ("allowed", "fault"),
    [(29, "only 29 were let through"), (30, ""), (31, "31 were let through")],
)
def test_from_an_empty_window_the_count_is_exact(allowed: int, fault: str) -> None:
    refused = moments(5, start=allowed * 0.01)
    assert fault in miscounted(moments(allowed), refused, 30, 10.0)
    assert bool(miscounted(moments(allowed), refused, 30, 10.0)) == bool(fault)


def test_a_window_that_has_moved_on_may_let_more_through() -> None:
    slow = moments(35, each=0.5)
    assert not miscounted(slow, [], 30, 10.0)
    assert miscounted(slow, [], 15, 10.0)


def test_what_was_refused_while_there_was_room_is_found_however_slow_it_was() -> None:
    slow = moments(35, each=0.5)
    assert not miscounted(slow, [(17.5, 17.6)], 20, 10.0)
    assert "only" in miscounted(slow, [(17.5, 17.6)], 30, 10.0)

"""A provider that fails is left alone for a while, then tried by one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talksy.ai.llm.breaker import FAILURES, LONG_REST, MOST_REST, REST, Breaker, Pass
from talksy.errors import Cause, ProviderUnavailable

AWAY = ProviderUnavailable()


def passed(breaker: Breaker, now: float = 0.0) -> Pass:
    entry = breaker.enter(now)
    assert entry is not None
    return entry


def fail(breaker: Breaker, now: float = 0.0, cause: Cause = "unavailable") -> None:
    passed(breaker, now).failed(ProviderUnavailable(cause=cause), now)


def opened() -> Breaker:
    breaker = Breaker()
    for _ in range(FAILURES):
        fail(breaker)
    return breaker


def test_a_few_failures_in_a_row_open_it() -> None:
    told: list[str] = []
    breaker = Breaker(told.append)
    for _ in range(FAILURES - 1):
        fail(breaker)
    passed(breaker).succeeded()
    for _ in range(FAILURES - 1):
        fail(breaker)
    assert breaker.state == "closed"
    fail(breaker)
    assert (breaker.state, breaker.enter(0.0)) == ("open", None)
    assert told == ["open"]


@pytest.mark.parametrize("cause", ["auth", "not_found"])
def test_what_no_waiting_mends_opens_it_at_once_and_for_longer(cause: Cause) -> None:
    breaker = Breaker()
    fail(breaker, cause=cause)
    assert breaker.remaining(0.0) >= LONG_REST * 0.8
    assert breaker.enter(LONG_REST * 0.79) is None


def test_a_request_that_is_refused_for_what_is_in_it_tells_nothing_of_the_provider() -> None:
    breaker = Breaker()
    for _ in range(2 * FAILURES):
        fail(breaker, cause="invalid")
    assert breaker.state == "closed"


def test_after_its_rest_one_at_a_time_may_try() -> None:
    breaker = opened()
    later = REST * 1.2
    probe = passed(breaker, later)
    assert (breaker.state, breaker.enter(later)) == ("half_open", None)
    probe.left()
    second = passed(breaker, later)
    second.begun()
    assert breaker.state == "closed"
    second.succeeded()
    fail(breaker)
    assert breaker.state == "closed", "a whole answer clears what was"


def test_a_probe_that_breaks_off_opens_it_again() -> None:
    breaker = opened()
    probe = passed(breaker, REST * 1.2)
    probe.begun()
    probe.failed(AWAY, REST * 1.2)
    assert breaker.state == "open"


def test_each_probe_that_fails_doubles_the_rest_up_to_a_bound() -> None:
    breaker, now, rests = opened(), 0.0, []
    for _ in range(9):
        now += breaker.remaining(now)
        fail(breaker, now)
        rests.append(breaker.remaining(now))
    assert rests[0] >= 2 * REST * 0.8
    assert MOST_REST * 0.8 <= rests[-1] <= MOST_REST * 1.2


def test_what_passed_before_it_opened_brings_old_news() -> None:
    breaker = Breaker()
    early = passed(breaker)
    for _ in range(FAILURES):
        fail(breaker)
    until = breaker.remaining(0.0)
    early.failed(AWAY, 5.0)
    early.succeeded()
    assert (breaker.state, breaker.remaining(0.0)) == ("open", until)


MOVES = st.lists(
    st.tuples(
        st.sampled_from(["enter", "begun", "succeeded", "failed", "left"]),
        st.integers(0, 5),
        st.floats(0, 40),
    ),
    max_size=60,
)


@given(MOVES)
def test_there_is_never_more_than_one_probe(moves: list[tuple[str, int, float]]) -> None:
    breaker, now = Breaker(), 0.0
    under_way: list[Pass] = []
    probe: Pass | None = None
    for move, which, seconds in moves:
        now += seconds
        if move == "enter":
            entry = breaker.enter(now)
            if entry is not None and breaker.state == "half_open":
                assert probe is None
                probe = entry
            under_way += [entry] if entry else []
        elif under_way:
            one = under_way[which % len(under_way)]
            if move == "begun":
                one.begun()
            else:
                under_way.remove(one)
                one.failed(AWAY, now) if move == "failed" else getattr(one, move)()
            probe = None if one is probe else probe
        assert breaker.state != "open" or breaker.remaining(now) <= MOST_REST * 1.2

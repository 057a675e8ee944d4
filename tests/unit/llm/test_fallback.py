"""The first that can answers; two answers are never spliced, and the truth is told."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from talksy.ai.llm import (
    Answering,
    Choice,
    Delta,
    Fallback,
    Part,
    Silence,
    StreamReset,
    ToolCall,
    Unwatched,
    Used,
    Working,
)
from talksy.ai.llm import fallback as module
from talksy.ai.llm.breaker import FAILURES
from talksy.errors import ProviderFault, ProviderTimeout, ProviderUnavailable
from talksy.messages import Prompt, Usage
from tests.unit.conversation.script import Script, Step

QUICK = Silence(first_token=0.05, gap=0.05)
PATIENT = Silence()
COST = Used(Usage(1, 2))
NEVER = asyncio.Event
AWAY = ProviderUnavailable(cause="auth")
"""A failure that nobody tries again after."""


class Notes(Unwatched):
    """Writes down what a watcher is told."""

    def __init__(self) -> None:
        self.lines: list[tuple[Any, ...]] = []

    def called(self, provider: str, model: str, outcome: str, seconds: float) -> None:
        assert seconds >= 0
        self.lines.append(("called", f"{provider}:{model}", outcome))

    def first_token(self, provider: str, model: str, seconds: float) -> None:
        assert seconds >= 0
        self.lines.append(("first_token", f"{provider}:{model}"))

    def retried(self, provider: str, model: str) -> None:
        self.lines.append(("retried", f"{provider}:{model}"))

    def moved(self, provider: str, model: str, *, reset: bool) -> None:
        self.lines.append(("moved", f"{provider}:{model}", reset))

    def breaker(self, provider: str, model: str, state: str) -> None:
        self.lines.append(("breaker", f"{provider}:{model}", state))


def scripted(name: str, *steps: Step) -> Script:
    script = Script(*steps)
    script.model = name
    return script


def fallback(
    *scripts: Script,
    watcher: Unwatched | None = None,
    silence: Silence = QUICK,
    reset: bool = True,
    **more: Any,
) -> Fallback:
    watcher = watcher or Unwatched()
    choices = [Choice(script, watcher=watcher, **more) for script in scripts]
    return Fallback(choices, watcher=watcher, silence=silence, reset=reset)


async def told(model: Fallback) -> tuple[list[Part], ProviderFault | None]:
    """All parts of an answer, and what it failed of."""
    parts: list[Part] = []
    try:
        async for part in model.stream([Prompt("user", "hi")]):
            parts += [part]
    except ProviderFault as fault:
        return parts, fault
    return parts, None


def answering(name: str, *, degraded: bool) -> Answering:
    return Answering("script", name, degraded)


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between attempts need not be waited for."""
    monkeypatch.setattr(module, "RETRY_PAUSE", 0.0)


async def test_the_first_choice_answers() -> None:
    model = fallback(scripted("a", "x", COST), scripted("b", "y"))
    assert await told(model) == ([answering("a", degraded=False), Delta("x"), COST], None)
    assert (model.provider, model.model) == ("script", "a")


@pytest.mark.parametrize(
    "steps",
    [[AWAY], [NEVER()], [ValueError("a bug of a plug-in")], [asyncio.CancelledError("another")]],
)
async def test_a_failure_before_the_first_text_is_not_seen(steps: Sequence[Step]) -> None:
    model = fallback(scripted("a", *steps), scripted("b", "y"))
    assert await told(model) == ([answering("b", degraded=True), Delta("y")], None)


async def test_a_failure_after_it_voids_what_came() -> None:
    model = fallback(scripted("a", "x", AWAY), scripted("b", "y", NEVER()), scripted("c", "z"))
    assert await told(model) == (
        [
            answering("a", degraded=False),
            Delta("x"),
            StreamReset("provider_unavailable"),
            answering("b", degraded=True),
            Delta("y"),
            StreamReset("provider_timeout"),
            answering("c", degraded=True),
            Delta("z"),
        ],
        None,
    )


async def test_an_answer_without_a_word_is_no_end_of_another_ones() -> None:
    model = fallback(scripted("a", "x", AWAY), scripted("b"))
    assert await told(model) == (
        [
            answering("a", degraded=False),
            Delta("x"),
            StreamReset("provider_unavailable"),
            answering("b", degraded=True),
        ],
        None,
    )


async def test_what_was_given_stands_where_nobody_takes_over() -> None:
    """A reset comes with the first word of the next one, not with the hope of it."""
    model = fallback(scripted("a", "x", AWAY), scripted("b", NEVER()))
    assert await told(model) == ([answering("a", degraded=False), Delta("x")], AWAY)


async def test_it_may_be_told_to_fail_instead() -> None:
    second = scripted("b", "y")
    model = fallback(scripted("a", "x", AWAY), second, reset=False)
    assert await told(model) == ([answering("a", degraded=False), Delta("x")], AWAY)
    assert second.asked == []


async def test_what_a_tool_was_called_for_is_not_begun_again() -> None:
    second = scripted("b", "y")
    call = ToolCall("call_1", "fly", {})
    _, fault = await told(fallback(scripted("a", call, AWAY), second))
    assert (fault, second.asked) == (AWAY, [])


async def test_who_stops_waiting_is_not_given_another_when_the_model_takes_it_badly() -> None:
    first = Script(NEVER(), farewell=ValueError("a bug of a plug-in"))
    second = scripted("b", NEVER())
    turn = asyncio.create_task(told(fallback(first, second, silence=PATIENT)))
    await first.idle.wait()
    turn.cancel()
    with pytest.raises(asyncio.CancelledError):
        await turn
    assert second.asked == []


async def test_a_passing_failure_is_tried_once_more_and_others_are_not() -> None:
    passing, lasting = scripted("a", ProviderUnavailable()), scripted("b", AWAY)
    await told(fallback(passing, lasting))
    assert (len(passing.asked), len(lasting.asked)) == (2, 1)


@pytest.mark.parametrize(("seconds", "asked"), [(0.01, 2), (9.0, 1)])
async def test_a_time_to_come_back_is_kept_where_it_fits(seconds: float, asked: int) -> None:
    busy = scripted("a", ProviderUnavailable(retry_after=seconds, cause="rate_limited"))
    _, fault = await told(fallback(busy))
    assert len(busy.asked) == asked
    assert fault is not None
    assert fault.retry_after == seconds


async def test_nobody_waits_for_a_busy_vendor_where_another_is_left() -> None:
    busy = scripted("a", ProviderUnavailable(retry_after=0.01, cause="rate_limited"))
    model = fallback(busy, scripted("b", "y"))
    for _ in range(2):
        assert await told(model) == ([answering("b", degraded=True), Delta("y")], None)
    assert len(busy.asked) == 1, "it is left alone for as long as it asked for"


async def test_after_all_have_failed_the_nearest_hope_is_told() -> None:
    late = fallback(scripted("a", NEVER()), scripted("b", NEVER()))
    assert isinstance((await told(late))[1], ProviderTimeout)
    mixed = fallback(
        scripted("a", NEVER()),
        scripted("b", ProviderUnavailable(retry_after=50, cause="rate_limited")),
        scripted("c", ProviderUnavailable(retry_after=30, cause="rate_limited")),
    )
    _, fault = await told(mixed)
    assert fault is not None
    assert (fault.code, fault.retry_after) == ("PROVIDER_UNAVAILABLE", 30)


async def test_an_open_breaker_is_passed_by_and_says_so() -> None:
    first, notes = scripted("a", ProviderUnavailable()), Notes()
    model = fallback(first, scripted("b", "y"), watcher=notes)
    for _ in range(FAILURES):
        assert (await told(model))[0][0] == answering("b", degraded=True)
    assert len(first.asked) == FAILURES
    assert notes.lines.count(("breaker", "script:a", "open")) == 1


async def test_a_single_provider_that_rests_refuses_with_the_time_to_come_back() -> None:
    alone = fallback(scripted("a", AWAY))
    await told(alone)
    _, fault = await told(alone)
    assert fault is not None
    assert fault.retry_after is not None
    assert fault.retry_after > 1


async def test_signs_of_life_keep_a_slow_thinker() -> None:
    thoughts: list[Step] = [Working()] * 3
    assert await told(fallback(scripted("a", *thoughts, "x"))) == (
        [answering("a", degraded=False), Delta("x")],
        None,
    )


async def test_a_makeshift_answers_degraded_even_as_the_first() -> None:
    parts, _ = await told(fallback(scripted("mock", "x"), makeshift=True))
    assert parts[0] == answering("mock", degraded=True)


@pytest.mark.parametrize("first_token", [QUICK.first_token, 1_000.0])
async def test_who_waits_for_a_vendors_pace_moves_on_where_another_can_answer(
    first_token: float,
) -> None:
    first = scripted("a", "x")
    model = Fallback(
        [
            Choice(first, watcher=Unwatched(), per_minute=1),
            Choice(scripted("b", "y"), watcher=Unwatched()),
        ],
        watcher=Unwatched(),
        silence=replace(QUICK, first_token=first_token),
    )
    assert (await told(model))[0][0] == answering("a", degraded=False)
    assert (await told(model))[0][0] == answering("b", degraded=True)
    assert (len(first.asked), model.choices[0].breaker.state) == (1, "closed")


async def test_leaving_closes_the_stream_and_blames_nobody() -> None:
    script, notes = scripted("a", "x", NEVER()), Notes()
    model = fallback(script, watcher=notes)
    async with aclosing(model.stream([])) as parts:
        async for part in parts:
            if isinstance(part, Delta):
                break
    assert script.open == 0
    assert notes.lines == [("first_token", "script:a"), ("called", "script:a", "cancelled")]


async def test_who_watches_is_told_all_of_it() -> None:
    notes = Notes()
    model = fallback(scripted("a", ProviderUnavailable()), scripted("b", "y", COST), watcher=notes)
    await told(model)
    assert notes.lines == [
        ("called", "script:a", "unavailable"),
        ("retried", "script:a"),
        ("called", "script:a", "unavailable"),
        ("first_token", "script:b"),
        ("moved", "script:a", False),
        ("called", "script:b", "ok"),
    ]


async def test_a_ping_succeeds_where_one_of_them_answers() -> None:
    class Gone(Script):
        async def ping(self) -> None:
            raise AWAY

    await fallback(Gone(), scripted("b")).ping()
    with pytest.raises(ProviderUnavailable):
        await fallback(Gone(), Gone()).ping()

"""A model made of models: who answers is the first that can.

Before the first text a failure is not seen: the call is made again where that may help, else the
next provider is asked. After it two answers are never spliced: the next one's begins with
``StreamReset``, and where nobody takes over, what was given stays and the failure is told.

A single provider stands behind one, too: time limits, retries, breaker and pace are here alone.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Generic, Protocol

import structlog
from typing_extensions import TypeVar

from talksy.ai.llm.base import (
    Answering,
    BreakerState,
    LanguageModel,
    Outcome,
    Part,
    StreamReset,
    ToolCall,
    ToolSpec,
    Used,
    Watcher,
    Working,
)
from talksy.ai.llm.breaker import Breaker, Pass
from talksy.ai.llm.pace import Pace
from talksy.ai.llm.patience import Patience
from talksy.errors import ProviderFault, ProviderTimeout, ProviderUnavailable
from talksy.events import ResetReason
from talksy.messages import Prompt, clean

log = structlog.get_logger(__name__)

_LAST = (ToolCall, Used)
"""What ends a call."""

ATTEMPTS = 2
RETRY_PAUSE = 0.5
"""Seconds; the pause is any time up to it, so that those who failed together do not come again
together ("full jitter": AWS Architecture Blog, "Exponential Backoff And Jitter")."""
TURN_SECONDS = 1.0
"""So long a call waits for its turn where another provider stands behind."""
MOST_CLOSED = 600.0
"""Seconds that a vendor is left alone at most, whatever it asks for."""


@dataclass(frozen=True, slots=True)
class Silence:
    """How long a provider may be silent, in seconds."""

    first_token: float = 20.0
    """Before its answer begins, all attempts together; and so long a call waits for its turn."""
    gap: float = 15.0
    """Between two pieces of it."""


class Named(Protocol):
    """What can be chosen: a model, or whatever else a vendor has."""

    @property
    def provider(self) -> str:
        """The vendor's name."""
        ...

    @property
    def model(self) -> str:
        """The vendor's name of it."""
        ...


M_co = TypeVar("M_co", bound=Named, covariant=True, default=LanguageModel)
P_co = TypeVar("P_co", covariant=True, default=Part)


class Choice(Generic[M_co]):
    """A model that may answer, and how it stands."""

    def __init__(
        self,
        model: M_co,
        *,
        watcher: Watcher,
        per_minute: int | None = None,
        makeshift: bool = False,
        limits: tuple[str, str] = ("AI_FIRST_TOKEN_TIMEOUT_MS", "AI_GAP_TIMEOUT_MS"),
    ) -> None:
        """``makeshift``: its answers are degraded, even where it is the first choice. ``limits``
        are the settings of ``Silence``, for hints.
        """
        self.model = model
        self._limits = limits
        self.makeshift = makeshift
        self.pace = Pace(per_minute)
        self.breaker = Breaker(self._changed)
        self._watcher = watcher
        self.names = (clean(model.provider), clean(model.model))
        """The vendor's name and the model's, as they can be stored and sent."""

    def _changed(self, state: BreakerState) -> None:
        log.warning("breaker", provider=self.names[0], model=self.names[1], state=state)
        self._watcher.breaker(*self.names, state)

    def enter(self, *, wait: bool) -> Pass:
        """Leave to make a call. Raises ``ProviderUnavailable`` where the provider rests.

        One that has asked to be left alone for a while may be waited for with ``wait``.
        """
        now = asyncio.get_running_loop().time()
        closed = self.pace.closed(now)
        if closed and not wait:
            raise ProviderUnavailable(cause="rate_limited", retry_after=closed)
        entry = self.breaker.enter(now)
        if entry is None:
            raise ProviderUnavailable(retry_after=self.breaker.remaining(now) or None)
        return entry

    @asynccontextmanager
    async def call(
        self, parts: AsyncGenerator[P_co], entry: Pass, *, turn: float, first_token: float
    ) -> AsyncIterator["Call[P_co]"]:
        """One call, which waits ``turn`` seconds for its turn at most. Its end is noted.

        Raises ``ProviderFault``, whatever goes wrong within.
        """
        loop = asyncio.get_running_loop()
        try:
            await self.pace.wait(turn)
        except BaseException:
            entry.left()
            raise
        started, failure = loop.time(), None
        call = Call(self, parts, entry, started)
        try:
            async with aclosing(parts):
                with Patience(first_token) as call.patience:
                    yield call
            call.outcome = "ok"
        except (Exception, asyncio.CancelledError) as error:
            if _stopping():
                # Also where the model makes something else of it: nobody waits for another.
                raise asyncio.CancelledError from error
            # Whatever it is, another may answer: also a cancellation of the model's own doing.
            failure = self._fault(error, begun=call.begun)
            call.outcome = failure.cause
            raise failure from None
        finally:
            self._settle(entry, call.outcome, failure)
            self._watcher.called(*self.names, call.outcome, loop.time() - started)

    def begins(self, seconds: float) -> None:
        """An answer of its begins, so long after the question."""
        self._watcher.first_token(*self.names, seconds)

    def _fault(self, error: BaseException, *, begun: bool) -> ProviderFault:
        """The failure as it is told; what the vendor's own class has not logged is logged here."""
        if isinstance(error, ProviderFault):
            return error
        provider, model = self.names
        if isinstance(error, TimeoutError):
            limit = self._limits[begun]
            hint = f"it was silent for longer than {limit}"
            log.warning("model_failed", provider=provider, model=model, kind="silence", hint=hint)
            return ProviderTimeout(hint=hint)
        log.error("model_failed", provider=provider, model=model, kind="bug", exc_info=error)
        return ProviderUnavailable(cause="broken", hint=f"{provider} raised an error of its own")

    def _settle(self, entry: Pass, outcome: Outcome, failure: ProviderFault | None) -> None:
        now = asyncio.get_running_loop().time()
        if failure is not None and failure.cause == "rate_limited" and failure.retry_after:
            # It says itself when to come back: nothing to be found out.
            self.pace.close(now + min(failure.retry_after, MOST_CLOSED))
            entry.left()
        elif failure is not None:
            entry.failed(failure, now)
        elif outcome == "ok":
            entry.succeeded()
        else:
            entry.left()


class Call(Generic[P_co]):
    """A call of a choice that is under way."""

    __slots__ = ("_choice", "_entry", "_started", "begun", "outcome", "parts", "patience")

    patience: Patience

    def __init__(
        self, choice: Choice[M_co], parts: AsyncGenerator[P_co], entry: Pass, started: float
    ) -> None:
        self.parts = parts
        """What the model gives."""
        self._choice = choice
        self._entry = entry
        self._started = started
        self.begun = False
        """It has said something."""
        self.outcome: Outcome = "cancelled"

    def begin(self) -> None:
        """It says its first word."""
        self.begun = True
        self._entry.begun()
        self._choice.begins(asyncio.get_running_loop().time() - self._started)


class Course(Generic[M_co]):
    """How far one question has come: whom it asks, how often, and what they failed of."""

    def __init__(self, choices: Sequence[Choice[M_co]], silence: Silence) -> None:
        self._choices = choices
        self._silence = silence
        self._clock = asyncio.get_running_loop().time
        self._attempt = 0
        self._deadline = self._clock() + silence.first_token
        self._call: Call[object] | None = None
        self._entered = False
        """The present choice let us in."""
        self.place = 0
        """The choice that is asked."""
        self.faults: list[ProviderFault] = []
        self.void: ProviderFault | None = None
        """What the answer broke off with that the client has text of."""

    @property
    def begun(self) -> bool:
        """Whether the present call has said something."""
        return self._call is not None and self._call.begun

    @asynccontextmanager
    async def call(self, ask: Callable[[M_co], AsyncGenerator[P_co]]) -> AsyncIterator[Call[P_co]]:
        """The next call. Raises ``ProviderFault``."""
        self._call = None
        self._entered = False
        self._attempt += 1
        choice, left = self._choices[self.place], self._deadline - self._clock()
        entry = choice.enter(wait=self._last)
        self._entered = True
        turn = left if self._last else min(left, TURN_SECONDS)
        parts = ask(choice.model)
        async with choice.call(parts, entry, turn=turn, first_token=left) as call:
            self._call = call
            yield call

    def failed(self, fault: ProviderFault) -> float | None:
        """Notes why; returns after how many seconds the same one is asked again, None for not."""
        choice = self._choices[self.place]
        again = self._entered and not self.begun and self._attempt < ATTEMPTS
        if again and choice.breaker.state != "open":
            pause = _pause(fault, self._deadline - self._clock(), last=self._last)
            if pause is not None:
                return pause
        self.faults.append(fault)
        if self.begun:
            self.void = fault
        return None

    def go_on(self) -> bool:
        """Turns to the next choice; False where there is none."""
        self.place += 1
        self._attempt = 0
        self._deadline = self._clock() + self._silence.first_token
        return self.place < len(self._choices)

    @property
    def _last(self) -> bool:
        return self.place == len(self._choices) - 1


class Fallback:
    """A ``LanguageModel`` whose answers come from the first of ``choices`` that can give one.

    With ``reset`` the next one takes over after text was given, too.
    """

    def __init__(
        self,
        choices: Sequence[Choice],
        *,
        watcher: Watcher,
        silence: Silence | None = None,
        reset: bool = True,
    ) -> None:
        self.choices = tuple(choices)
        self._watcher = watcher
        self._silence = silence or Silence()
        self._reset = reset

    @property
    def provider(self) -> str:
        """The vendor of the first choice."""
        return self.choices[0].names[0]

    @property
    def model(self) -> str:
        """The first choice."""
        return self.choices[0].names[1]

    async def stream(
        self, messages: Sequence[Prompt], tools: Sequence[ToolSpec] = ()
    ) -> AsyncGenerator[Part]:
        """As ``LanguageModel.stream``, with ``Answering`` and ``StreamReset``."""
        # One generator alone between the model and who asks: each more costs every token 0.2 µs,
        # and thrice that where a thousand answers share a cache.
        course = Course(self.choices, self._silence)
        gap = self._silence.gap
        while True:
            acted = False
            try:
                async with course.call(lambda model: model.stream(messages, tools)) as call:
                    async for part in call.parts:
                        call.patience.rest(gap)
                        if not isinstance(part, Working):
                            if not call.begun:
                                call.begin()
                                for word in self._opening(course.place, course.void):
                                    yield word
                            if isinstance(part, _LAST):
                                acted |= isinstance(part, ToolCall)
                                call.outcome = "ok"  # whoever leaves now has had it all
                            yield part
                        call.patience.begin()
            except ProviderFault as fault:
                await self._recover(course, fault, acted=acted)
            else:
                if not course.begun:  # an answer without a word is one, too
                    for word in self._opening(course.place, course.void):
                        yield word
                return

    async def _recover(self, course: Course, fault: ProviderFault, *, acted: bool) -> None:
        """Returns when the same choice or the next one is to be asked. Raises what there is to tell
        where nobody is.
        """
        if course.begun and (acted or not self._reset):
            raise fault
        pause = course.failed(fault)
        if pause is not None:
            self._watcher.retried(*self.choices[course.place].names)
            await asyncio.sleep(pause)
        elif not course.go_on():
            raise course.void or summed(course.faults)

    def _opening(self, place: int, void: ProviderFault | None) -> Iterator[Part]:
        """What comes before an answer; ``void`` is what the one before it broke off with."""
        if void is not None:
            yield StreamReset(_reason(void))
        yield self._answering(place, reset=void is not None)

    def _answering(self, place: int, *, reset: bool) -> Answering:
        choice = self.choices[place]
        provider, model = choice.names
        if place:
            self._watcher.moved(*self.choices[place - 1].names, reset=reset)
            log.info("model_degraded", provider=provider, model=model, reset=reset)
        return Answering(provider, model, place > 0 or choice.makeshift)

    async def ping(self) -> None:
        """Returns when one of them can be reached; raises what the first said where none can."""
        faults: list[ProviderFault] = []
        for choice in self.choices:
            try:
                await choice.model.ping()
            except ProviderFault as fault:
                faults.append(fault)
            else:
                return
        raise faults[0]

    async def close(self) -> None:
        """Closes them all."""
        for choice in self.choices:
            await choice.model.close()


def _stopping() -> bool:
    """Whether somebody wants this task to stop."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _reason(fault: ProviderFault) -> ResetReason:
    return "provider_timeout" if fault.cause == "timeout" else "provider_unavailable"


def _pause(fault: ProviderFault, left: float, *, last: bool) -> float | None:
    """Seconds until the same provider is asked again; None where that would not help.

    What it says itself counts where nobody else can be asked, and where there is time for it.
    """
    if fault.retry_after is None and fault.cause != "unavailable":
        return None
    if fault.retry_after is not None and not last:
        return None
    pause = (fault.retry_after or 0.0) + random.uniform(0, RETRY_PAUSE)  # noqa: S311
    return pause if pause < left else None


def summed(faults: Sequence[ProviderFault]) -> ProviderFault:
    """One failure for all: the only one, or what they have in common, with the nearest hope."""
    if len(faults) == 1:
        return faults[0]
    late = all(fault.cause == "timeout" for fault in faults)
    kind = ProviderTimeout if late else ProviderUnavailable
    hopes = [fault.retry_after for fault in faults if fault.retry_after is not None]
    return kind(retry_after=min(hopes, default=None), cause=faults[0].cause, hint=faults[0].hint)

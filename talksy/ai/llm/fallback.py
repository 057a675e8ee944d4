"""A model made of models: who answers is the first that can.

Before the first text a failure is not seen: the call is made again where that may help, else the
next provider is asked. After it two answers are never spliced: the next one's begins with
``StreamReset``, and where nobody takes over, what was given stays and the failure is told.

A single provider stands behind one, too: time limits, retries, breaker and pace are here alone.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

import structlog

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


class Choice:
    """A model that may answer, and how it stands."""

    def __init__(
        self,
        model: LanguageModel,
        *,
        watcher: Watcher,
        per_minute: int | None = None,
        makeshift: bool = False,
    ) -> None:
        """``makeshift``: its answers are degraded, even where it is the first choice."""
        self.model = model
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

    async def stream(
        self,
        messages: Sequence[Prompt],
        tools: Sequence[ToolSpec],
        entry: Pass,
        *,
        turn: float,
        first_token: float,
        gap: float,
    ) -> AsyncGenerator[Part]:
        """One call: ``Delta* ToolCall* Used?``. Raises ``ProviderFault`` and nothing else.

        It may wait ``turn`` seconds for its turn.
        """
        loop = asyncio.get_running_loop()
        try:
            await self.pace.wait(turn)
        except BaseException:
            entry.left()
            raise
        started, begun = loop.time(), False
        outcome: Outcome = "cancelled"
        failure: ProviderFault | None = None
        try:
            async with aclosing(self.model.stream(messages, tools)) as parts:
                with Patience(first_token) as patience:
                    async for part in parts:
                        patience.rest(gap)
                        if not isinstance(part, Working):
                            if not begun:
                                begun = True
                                entry.begun()
                                self._watcher.first_token(*self.names, loop.time() - started)
                            if isinstance(part, _LAST):
                                outcome = "ok"  # whoever leaves now has had it all
                            yield part
                        patience.begin()
            outcome = "ok"
        except (Exception, asyncio.CancelledError) as error:
            if _stopping():
                # Also where the model makes something else of it: nobody waits for another.
                raise asyncio.CancelledError from error
            # Whatever it is, another may answer: also a cancellation of the model's own doing.
            failure = self._fault(error, begun=begun)
            outcome = failure.cause
            raise failure from None
        finally:
            self._settle(entry, outcome, failure)
            self._watcher.called(*self.names, outcome, loop.time() - started)

    def _fault(self, error: BaseException, *, begun: bool) -> ProviderFault:
        """The failure as it is told; what the vendor's own class has not logged is logged here."""
        if isinstance(error, ProviderFault):
            return error
        provider, model = self.names
        if isinstance(error, TimeoutError):
            limit = "AI_GAP_TIMEOUT_MS" if begun else "AI_FIRST_TOKEN_TIMEOUT_MS"
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
        faults: list[ProviderFault] = []
        void: ProviderFault | None = None
        """What the answer broke off with that the client has text of."""
        for place in range(len(self.choices)):
            begun = acted = False
            async with aclosing(self._attempts(place, messages, tools)) as parts:
                try:
                    async for part in parts:
                        if not begun:
                            begun = True
                            for word in self._opening(place, void):
                                yield word
                        acted |= isinstance(part, ToolCall)
                        yield part
                except ProviderFault as fault:
                    if begun and (acted or not self._reset):
                        raise
                    faults.append(fault)
                    void = fault if begun else void
                else:
                    if not begun:  # an answer without a word is one, too
                        for word in self._opening(place, void):
                            yield word
                    return
        raise void or _sum(faults)

    async def _attempts(
        self, place: int, messages: Sequence[Prompt], tools: Sequence[ToolSpec]
    ) -> AsyncGenerator[Part]:
        """The answer of one choice, asked again where that may help."""
        choice, silence = self.choices[place], self._silence
        last = place == len(self.choices) - 1
        loop = asyncio.get_running_loop()
        deadline = loop.time() + silence.first_token
        for attempt in range(1, ATTEMPTS + 1):
            begun = False
            left = deadline - loop.time()
            entry = choice.enter(wait=last)
            try:
                async with aclosing(
                    choice.stream(
                        messages,
                        tools,
                        entry,
                        turn=left if last else min(left, TURN_SECONDS),
                        first_token=left,
                        gap=silence.gap,
                    )
                ) as parts:
                    async for part in parts:
                        begun = True
                        yield part
            except ProviderFault as fault:
                pause = _pause(fault, deadline - loop.time(), last=last)
                rests = choice.breaker.state == "open"
                if begun or rests or pause is None or attempt == ATTEMPTS:
                    raise
            else:
                return
            self._watcher.retried(*choice.names)
            await asyncio.sleep(pause)

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


def _sum(faults: Sequence[ProviderFault]) -> ProviderFault:
    """One failure for all: the only one, or what they have in common, with the nearest hope."""
    if len(faults) == 1:
        return faults[0]
    late = all(fault.cause == "timeout" for fault in faults)
    kind = ProviderTimeout if late else ProviderUnavailable
    hopes = [fault.retry_after for fault in faults if fault.retry_after is not None]
    return kind(retry_after=min(hopes, default=None), cause=faults[0].cause, hint=faults[0].hint)

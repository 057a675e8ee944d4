"""The turn: a conversation, a model and tools in, an ordered stream of events and one ending out.

It knows no socket, no store, no user and no clock.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Protocol, assert_never

import structlog

from talksy.ai.llm import Answering, Delta, LanguageModel, StreamReset, ToolSpec, Used, Working
from talksy.conversation.park import Parked, Waiting
from talksy.conversation.prompts import error_text, fit, result_text
from talksy.conversation.tools import NoTools, Tools
from talksy.errors import (
    ApprovalExpired,
    InternalError,
    TalksyError,
    ToolDenied,
    ToolFailed,
    ValidationError,
)
from talksy.events import Ending, Reason, ToolAsked, ToolDone, ToolStatus
from talksy.ids import new_id
from talksy.messages import Prompt, ToolCall, Usage, clean

Given = Delta | StreamReset | ToolAsked | ToolDone
"""What a turn gives. With ``StreamReset`` all text that was given before it is void."""
Give = Callable[[Given], None]


class Course(Protocol):
    """What gives an answer: a ``Turn``, or what stands around one."""

    @property
    def answering(self) -> Answering:
        """Who answers."""
        ...

    def stop(self, reason: Reason, error: Mapping[str, Any] | None = None) -> None:
        """Ends it with ``reason`` at its next step; the first call counts."""
        ...

    async def run(self, give: Give) -> "Ending | Parked":
        """As ``Turn.run``."""
        ...


STEPS = 8
"""So often a model may ask for tools before it answers."""
TOGETHER = 5
"""So many calls of one turn are made side by side."""
CALLS = 32
"""So many calls a model may ask for at once."""
NAME_CHARS = 64

log = structlog.get_logger(__name__)


class Turn:
    """One answer of a model, with what it asks of tools in between.

    ``run`` gives the events to a callable as they come and returns the ending, so a turn cannot
    have two of them or none. Leaving it in any way closes the model's stream and ends its calls.
    """

    __slots__ = (
        "_answering",
        "_budget",
        "_decided",
        "_degraded",
        "_give",
        "_lenient",
        "_model",
        "_most_steps",
        "_open",
        "_parked",
        "_prompts",
        "_rounds",
        "_said",
        "_scope",
        "_steps",
        "_stopped",
        "_tools",
        "_usage",
    )

    def __init__(
        self,
        model: LanguageModel,
        prompts: Sequence[Prompt],
        tools: Tools | None = None,
        *,
        steps: int = STEPS,
        budget: int | None = None,
        degraded: bool = False,
        parked: Parked | None = None,
        decided: Mapping[str, ToolStatus | None] | None = None,
    ) -> None:
        """``budget`` is how many tokens a model may be given, estimated; None for as many as there
        are. ``degraded``: the model is not the one that was asked for, whatever it says itself.

        A turn that was ``parked`` goes on where it stood: ``decided`` says of each call that waited
        whether it is ``denied`` or ``expired``, and None where somebody approved it.
        """
        self._model = model
        self._prompts = prompts
        self._tools = tools or NoTools()
        self._most_steps = steps
        self._budget = budget
        self._degraded = degraded
        self._parked = parked
        self._decided = decided or {}
        self._answering = Answering(model.provider, model.model, degraded)
        self._said: list[str] = [parked.said] if parked and parked.said else []
        self._rounds: list[Prompt] = list(parked.rounds) if parked else []
        self._steps = parked.steps if parked else 0
        self._lenient = parked.lenient if parked else True
        self._usage = parked.usage if parked else None
        self._give: Give
        self._open = {each.call.id: each.call for each in (parked.waiting if parked else ())}
        """The calls that were asked for and have not come to their end."""
        self._scope: asyncio.Timeout | None = None
        self._stopped: tuple[Reason, Mapping[str, Any] | None] | None = None

    @property
    def answering(self) -> Answering:
        """Who answers; the first choice until somebody does."""
        return self._answering

    def stop(self, reason: Reason, error: Mapping[str, Any] | None = None) -> None:
        """Ends the turn with ``reason`` at its next step; the first call counts."""
        if self._stopped is not None:
            return
        self._stopped = (reason, error)
        if self._scope is not None:
            self._scope.reschedule(asyncio.get_running_loop().time())

    async def run(self, give: Give) -> Ending | Parked:
        """Runs to the end and returns it, or to where a person has to be asked. What the model or
        we do wrong is an ending, too.
        """
        self._give = give
        reason: Reason = "completed"
        failure: Mapping[str, Any] | None = None
        try:
            # A scope of ``asyncio.timeout`` without a deadline: stopping sets it to now.
            async with asyncio.timeout(None) as self._scope:
                if self._stopped is None:
                    if self._parked is not None:
                        await self._decide(self._parked.waiting)
                    if waiting := await self._converse():
                        return self._park(waiting)
        except TalksyError as error:
            reason, failure = "failed", error.payload()
        except Exception as error:  # noqa: BLE001 - whatever it is, the turn has an ending
            if self._stopped is None or not isinstance(error, TimeoutError):
                reason, failure = "failed", self._ours(error)
        finally:
            self._scope = None
        try:
            # What was opened is closed, also where the end came between a tool's and its telling.
            for call in list(self._open.values()):
                cut = _failed(call, ToolFailed("the turn ended before the tool did"))
                self._close(self._tools.ended(call.id) or cut)
        except Exception as error:  # noqa: BLE001 - as above
            reason, failure = "failed", self._ours(error)
        return self._ending(*(self._stopped or (reason, failure)))

    # ---- the model

    async def _converse(self) -> Sequence[Waiting]:
        """Asks the model, and gives it what it asks for, until it has answered. Returns the calls
        that a person has to approve first.
        """
        while calls := await self._ask():
            self._steps += 1
            if self._steps > self._most_steps:
                raise ToolFailed(f"the model asked for tools more than {self._most_steps} times")
            if waiting := await self._serve(calls):
                return waiting
        return ()

    async def _ask(self) -> list[ToolCall]:
        """Gives what the model says, and returns what it asks for."""
        calls: list[ToolCall] = []
        before = len(self._said)
        # After so many rounds it is to answer with what it has.
        specs = self._tools.specs if self._steps < self._most_steps else ()
        # A task of its own: each token wakes it alone, and not all that waits for the answer.
        reading = asyncio.create_task(self._read(specs, before, calls), name="model")
        await reading
        if calls:
            text = "".join(self._said[before:])
            self._rounds.append(Prompt("assistant", text, calls=tuple(calls)))
        return calls

    async def _read(self, specs: Sequence[ToolSpec], before: int, calls: list[ToolCall]) -> None:
        """Gives what the model says, and adds to ``calls`` what it asks for."""
        said, give = self._said, self._give
        async with aclosing(self._model.stream(self._reads(), specs)) as parts:
            async for part in parts:
                if isinstance(part, Delta):
                    if len(said) == before and before:
                        part = self._apart(part)
                    said.append(part.text)
                    give(part)
                    continue
                match part:
                    case StreamReset():
                        self._reset(part, before)
                    case Answering():
                        self._answering = replace(part, degraded=part.degraded or self._degraded)
                    case Used():
                        self._usage = _sum(self._usage, part.usage)
                    case ToolCall():
                        # Vendors' ids are unique in one answer at best.
                        name = clean(part.name)[:NAME_CHARS]
                        calls.append(replace(part, id=new_id("call"), name=name))
                    case Working():
                        pass
                    case _:
                        assert_never(part)

    def _reads(self) -> Sequence[Prompt]:
        """What the model is given."""
        if not self._rounds:
            return self._prompts
        if self._budget is None:
            return [*self._prompts, *self._rounds]
        return fit(self._prompts, self._rounds, self._budget)

    def _apart(self, part: Delta) -> Delta:
        """The first words behind a tool, which do not run into those before it."""
        if self._said[-1][-1:].isspace() or part.text[:1].isspace():
            return part
        return Delta(f"\n\n{part.text}")

    def _reset(self, reset: StreamReset, before: int) -> None:
        """The present answer of the model is void; what it said before it called tools is not."""
        del self._said[before:]
        self._give(reset)
        if said := "".join(self._said):
            self._give(Delta(said))

    # ---- the tools

    async def _serve(self, calls: Sequence[ToolCall]) -> list[Waiting]:
        """Makes the calls, side by side, and returns those that a person has to approve. These are
        not shown yet.
        """
        ready: list[ToolCall] = []
        waiting: list[Waiting] = []
        for number, call in enumerate(calls):
            if call.arguments is None and self._lenient:
                # Told to the model alone, once: it may well do better.
                self._lenient = False
                self._answer(call, error_text(_broken(call).payload()))
                continue
            try:
                if call.arguments is None:
                    raise _broken(call)
                if number >= CALLS:
                    raise ToolFailed(f"more than {CALLS} calls at once: ask for fewer")
                checked = self._tools.check(call.name, call.arguments)
            except TalksyError as error:
                self._begin(call, ToolAsked(call.id, call.name, call.arguments or {}))
                self._done(call, _failed(call, error))
                continue
            call = replace(call, arguments=checked.arguments)
            if checked.expires_at is not None:
                # Who is shown it may decide at once: whoever parks the turn shows it then.
                waiting.append(Waiting(call, checked.expires_at))
                continue
            self._begin(call, ToolAsked(call.id, call.name, checked.arguments))
            ready.append(call)
        await self._run(ready, approved=False)
        return waiting

    async def _run(self, calls: Sequence[ToolCall], *, approved: bool) -> None:
        room = asyncio.Semaphore(TOGETHER)

        async def make(call: ToolCall) -> None:
            try:
                async with room:
                    done = await self._tools.run(call, approved=approved)
            except TalksyError as error:
                done = _failed(call, error)
            except Exception as error:  # noqa: BLE001 - a tool that fails ends no turn
                done = ToolDone(call.id, call.name, "failed", error=self._ours(error))
            self._done(call, done)

        if len(calls) == 1:
            await make(calls[0])
        elif calls:
            async with asyncio.TaskGroup() as group:
                for call in calls:
                    group.create_task(make(call), name=f"call {call.id}")

    async def _decide(self, waiting: Sequence[Waiting]) -> None:
        """Goes on with the calls that waited, as was decided about them."""
        approved: list[ToolCall] = []
        for each in waiting:
            status = self._decided.get(each.call.id, "expired")
            if status is None:
                approved.append(each.call)
                continue
            error = ApprovalExpired() if status == "expired" else _refused()
            self._done(each.call, _failed(each.call, error, status))
        await self._run(approved, approved=True)

    def _begin(self, call: ToolCall, asked: ToolAsked) -> None:
        self._open[call.id] = call
        self._give(asked)

    def _done(self, call: ToolCall, done: ToolDone) -> None:
        self._close(done)
        self._answer(call, result_text(done))

    def _close(self, done: ToolDone) -> None:
        del self._open[done.call_id]
        self._give(done)

    def _answer(self, call: ToolCall, text: str) -> None:
        self._rounds.append(Prompt("tool", text, call_id=call.id))

    def _park(self, waiting: Sequence[Waiting]) -> Parked:
        return Parked(
            waiting=waiting,
            rounds=self._rounds,
            steps=self._steps,
            said="".join(self._said),
            usage=self._usage,
            lenient=self._lenient,
        )

    # ---- the end

    def _ending(self, reason: Reason, error: Mapping[str, Any] | None = None) -> Ending:
        answering = self._answering
        return Ending(
            reason,
            "".join(self._said),
            provider=answering.provider,
            model=answering.model,
            usage=self._usage,
            error=error,
            degraded=answering.degraded,
        )

    def _ours(self, error: Exception) -> Mapping[str, Any]:
        """A fault of ours: the client gets a number, the log the exception under it."""
        told = InternalError(new_id("req"))
        log.error(
            "turn_failed",
            request_id=told.request_id,
            provider=self._answering.provider,
            exc_info=error,
        )
        return told.payload()


def _sum(so_far: Usage | None, more: Usage) -> Usage:
    if so_far is None:
        return more
    return Usage(so_far.input_tokens + more.input_tokens, so_far.output_tokens + more.output_tokens)


def _failed(call: ToolCall, error: TalksyError, status: ToolStatus = "failed") -> ToolDone:
    return ToolDone(call.id, call.name, status, error=error.payload())


def _broken(call: ToolCall) -> ValidationError:
    return ValidationError(f"the arguments are no JSON object: {call.raw[:200]}")


def _refused() -> ToolDenied:
    return ToolDenied("a person refused this call")

"""Runs tools: within their time and their room, and tells how it went."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from time import monotonic, perf_counter
from typing import Any

import orjson
import structlog

from talksy.errors import PayloadTooLarge, TalksyError, ToolBusy, ToolFailed, ToolTimeout
from talksy.state import Slot, Slots
from talksy.tools.answer import as_json
from talksy.tools.definition import Caller, Tool, ToolDefinition, ToolResult
from talksy.tools.room import Room
from talksy.tools.watchdog import Stepwise
from talksy.tools.watching import ToolWatcher, Unwatched

log = structlog.get_logger(__name__)

GRACE_SECONDS = 1.0
"""How long a trusted tool may take to end after it was told to, before others go on without it."""


MAX_CHARS = 2_000
"""Of what a tool says of its failure."""


@dataclass(frozen=True, slots=True)
class ToolBounds:
    """What calls may take."""

    seconds: float = 30.0
    """Of a tool that does not say itself."""
    parameter_bytes: int = 1_048_576
    result_bytes: int = 65_536
    per_session: int = 5
    per_user: int = 10
    per_node: int = 100


class Execution:
    """The calls of one node."""

    def __init__(
        self,
        bounds: ToolBounds,
        slots: Slots | None = None,
        watcher: ToolWatcher | None = None,
    ) -> None:
        self._bounds = bounds
        self._watcher = watcher or Unwatched()
        self._room = Room(
            slots,
            per_session=bounds.per_session,
            per_user=bounds.per_user,
            per_node=bounds.per_node,
        )
        self._running: set[asyncio.Task[None]] = set()
        """One for each slot, until it is free again."""

    @property
    def running(self) -> int:
        """How much work goes on, that which nobody waits for any more included."""
        return len(self._running)

    def measure(self, arguments: Mapping[str, Any]) -> None:
        """Raises ``PayloadTooLarge`` for arguments that are too long."""
        try:
            size = len(orjson.dumps(arguments))
        except TypeError:
            return  # What is wrong with them is for the schema to tell.
        if size > (most := self._bounds.parameter_bytes):
            raise PayloadTooLarge(f"The parameters take {size} bytes: {most} are allowed.")

    @property
    def usual_ms(self) -> int:
        """How long a call of a tool may take that does not say itself."""
        return round(self._bounds.seconds * 1000)

    async def run(
        self,
        tool: Tool,
        arguments: Mapping[str, Any],
        caller: Caller,
        wait: float,
        told: Callable[[], None] | None = None,
        ended: Callable[[ToolResult], None] | None = None,
    ) -> ToolResult:
        """How a call ended. Raises ``ToolBusy``."""
        name = tool.definition.name
        asked = monotonic()
        try:
            self.measure(arguments)
        except PayloadTooLarge as error:
            return ToolResult("failed", error=error.payload())
        try:
            slot = await self._room.take(caller, wait)
        except ToolBusy:
            self._watcher.refused(name, monotonic() - asked)
            raise
        self._watcher.began(name, monotonic() - asked)
        if told is not None:
            told()
        began = perf_counter()
        outcome = "cancelled"
        try:
            result = await self._run(tool, arguments, caller, slot, ended)
            outcome = str(result.error["code"]) if result.error else "done"
        finally:
            seconds = perf_counter() - began
            self._watcher.ended(name, outcome, seconds)
        return replace(result, ms=round(seconds * 1000))

    async def close(self) -> None:
        """Waits for work that was told to end, as long as it may take to."""
        if self._running:
            await asyncio.wait(self._running, timeout=GRACE_SECONDS)
        for left in self._running:
            log.warning("tool_does_not_end", tool=left.get_name())

    async def _run(
        self,
        tool: Tool,
        arguments: Mapping[str, Any],
        caller: Caller,
        slot: Slot,
        ended: Callable[[ToolResult], None] | None,
    ) -> ToolResult:
        definition = tool.definition
        work = asyncio.create_task(self._stepped(tool, arguments, caller), name=definition.name)
        kept = asyncio.create_task(self._keep(work, slot), name=definition.name)
        self._running.add(kept)
        kept.add_done_callback(self._freed)
        known: list[ToolResult] = []

        def note(work: asyncio.Task[Any]) -> None:
            if not work.cancelled():
                known.append(self._result(definition, work))
                if ended is not None:
                    ended(known[0])

        work.add_done_callback(note)
        try:
            await asyncio.wait({work}, timeout=self._seconds(definition))
            late = work.cancel() if not work.done() else False
        except asyncio.CancelledError:
            work.cancel()
            raise
        finally:
            # What is sandboxed is killed, so that does not take long.
            grace = None if definition.sandboxed else GRACE_SECONDS
            await asyncio.wait({kept}, timeout=grace)
        if late:
            limit = round(self._seconds(definition) * 1000)
            error: TalksyError = ToolTimeout(f"{definition.name} took longer than {limit} ms.")
            return ToolResult("failed", error=error.payload())
        return known[0] if known else self._result(definition, work)

    async def _keep(self, work: asyncio.Task[Any], slot: Slot) -> None:
        """Holds the slot for as long as there is work in it."""
        await asyncio.wait({work})
        if not work.cancelled():
            work.exception()  # Heard, also where nobody waits any more.
        self._watcher.stopped(work.get_name())
        await self._room.free(slot)

    def _freed(self, kept: asyncio.Task[None]) -> None:
        self._running.discard(kept)
        if not kept.cancelled() and (error := kept.exception()):
            log.error("slot_not_freed", tool=kept.get_name(), exc_info=error)

    def _stepped(
        self, tool: Tool, arguments: Mapping[str, Any], caller: Caller
    ) -> Coroutine[Any, Any, Any]:
        name = tool.definition.name
        call = _contained(tool, arguments, caller)
        if tool.definition.sandboxed:
            return call

        def told(seconds: float) -> None:
            log.warning("tool_held_loop", tool=name, ms=round(seconds * 1000))
            self._watcher.held_loop(name, seconds)

        return Stepwise(call, told)

    def _result(self, definition: ToolDefinition, work: asyncio.Task[Any]) -> ToolResult:
        try:
            return ToolResult("done", as_json(work.result(), self._bounds.result_bytes))
        except TalksyError as error:
            told = error.payload()
            return ToolResult("failed", error={**told, "message": error.message[:MAX_CHARS]})
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is the tool's
            kind = type(error).__name__
            log.warning("tool_failed", tool=definition.name, error=kind, where=_where(error))
            # It may hold what somebody said.
            log.debug("tool_failed_of", tool=definition.name, reason=str(error)[:1_000])
            failed = ToolFailed(f"{definition.name} failed with {kind}.")
            return ToolResult("failed", error=failed.payload())

    def _seconds(self, definition: ToolDefinition) -> float:
        own = definition.timeout_ms
        return self._bounds.seconds if own is None else own / 1000


async def _contained(tool: Tool, arguments: Mapping[str, Any], caller: Caller) -> Any:
    try:
        return await tool.run(arguments, caller)
    except (SystemExit, KeyboardInterrupt) as error:
        # Out of a task they would end the server.
        raise RuntimeError(f"the tool raised {type(error).__name__}") from error


def _where(error: BaseException) -> str:
    """The place in the code that raised it, as ``module:line``."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_globals.get('__name__')}:{trace.tb_lineno}" if trace else ""

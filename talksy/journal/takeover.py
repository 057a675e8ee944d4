"""The turns of dead nodes get their endings from those who live.

In this order: the row is claimed, with a higher fence; the log is sealed against the former writer,
who may only have stood still; what was given is read; the ending is committed; the readers are
told. Setting the row before the log is sealed would let late events make the two differ.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import structlog

from talksy.database.calls import CallRow, Calls
from talksy.database.lane import Finished, Lane
from talksy.database.rows import TurnRow
from talksy.errors import ToolFailed
from talksy.events import Chunk, Ending, Event, Reason, ToolAsked, ToolDone, ToolStatus
from talksy.ids import new_id
from talksy.journal.lines import (
    ENDING,
    ending_of_line,
    event_of,
    line_of,
    line_of_ending,
    text_of,
)
from talksy.state import Append, Away, TurnLog

log = structlog.get_logger(__name__)

SEAL_SECONDS = 4.0
"""How long the log is asked for what was given."""
TELL_SECONDS = 10.0
"""How long the log is told the ending; later its readers ask the row."""
PAUSE = 0.2
ATTEMPTS = 2
"""A message is tried no oftener: one that kills its node shall not kill the next ones too."""
TOGETHER = 20
"""So many turns are taken over at a time."""


@dataclass(frozen=True, slots=True)
class Left:
    """What a writer left in the log."""

    events: list[Event]
    ending: tuple[Ending, int] | None = None
    """It had ended, and only the row did not know."""
    lines: int = 0
    """How many lines the log has."""
    known: bool = True
    """The log did answer."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A turn that was given its ending here."""

    row: TurnRow
    events: Sequence[Event]
    """What the log has of it."""
    ending: Ending
    total: int


class Taker:
    """Looks for turns whose node is dead, and ends them."""

    def __init__(
        self,
        lane: Lane,
        turn_log: TurnLog | None,
        *,
        clock: Callable[[], int],
        taken: Callable[[Taken], None],
        begin: Callable[[TurnRow], None],
        calls: Calls | None = None,
    ) -> None:
        """``taken`` is told of each ending, ``begin`` of what runs here behind it."""
        self._lane = lane
        self._log = turn_log
        self._clock = clock
        self._on_taken = taken
        self._begin = begin
        self._calls = calls
        self._tasks: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(TOGETHER)
        self.under_way: set[str] = set()
        """Turns in this node's name that do not run here."""
        self.count = 0

    async def look(self) -> None:
        """Claims what dead nodes left. Raises ``Overloaded``."""
        for row in await self._lane.orphans():
            self.under_way.add(row.id)
            try:
                claimed = await self._lane.claim(row)
            except BaseException:
                self.under_way.discard(row.id)
                raise
            if claimed is None:
                self.under_way.discard(row.id)
            elif not claimed.taken:
                self.under_way.discard(row.id)
                self._begin(claimed)
            else:
                self.take(claimed)

    def take(self, row: TurnRow) -> None:
        """Ends a turn that was claimed for this node."""
        self.under_way.add(row.id)
        task = asyncio.create_task(self._take(row), name=f"takeover {row.id}")
        self._tasks.add(task)
        task.add_done_callback(self._done)

    async def settle(self) -> None:
        """Waits until all that was claimed has its ending."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def stop(self) -> None:
        """Leaves what is not done to the next one."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("takeover_failed", task=task.get_name(), exc_info=error)

    async def _take(self, row: TurnRow) -> None:
        try:
            async with self._room:
                called = await self._called(row)
                left = await self._seal(row)
                if self._log is not None and left.lines >= row.events:
                    left = _closed(left, called)
                ending, total = self._ending(row, left, called)
                finished = await self._commit(row, ending, total)
        finally:
            self.under_way.discard(row.id)
        if finished.won:
            self.count += 1
            log.info("turn_taken_over", turn_id=row.id, reason=ending.reason, events=total)
            self._on_taken(Taken(row, left.events, ending, total))
        if finished.next is not None:
            self._begin(finished.next)
        if finished.won:
            await self._tell(row, left, ending, total)

    async def _seal(self, row: TurnRow) -> Left:
        if self._log is None:
            return Left([])
        deadline = asyncio.get_running_loop().time() + SEAL_SECONDS
        while True:
            try:
                lines = await self._log.seal(row.session_id, row.id, row.fence)
                break
            except Away:
                if asyncio.get_running_loop().time() > deadline:
                    return Left([], known=False)
            await asyncio.sleep(PAUSE)
        try:
            final = lines[-1] if lines and lines[-1].startswith(ENDING) else None
            events = [event_of(line) for line in (lines[:-1] if final else lines)]
            ending = None
            if final is not None:
                told, total, has_text = ending_of_line(final)
                text = told.text if has_text else text_of(events[:total])[0]
                ending = replace(told, text=text), total
        except (ValueError, KeyError):
            log.warning("log_unreadable", turn_id=row.id)
            return Left([], lines=len(lines), known=False)
        return Left(events, ending, len(lines))

    async def _called(self, row: TurnRow) -> Sequence[CallRow]:
        """What the turn has called, as the database knows it."""
        while self._calls is not None:
            try:
                return await self._calls.of_turn(row.id)
            except Exception as error:  # noqa: BLE001 - an ending is not given up
                log.warning("ending_waits", error=type(error).__name__, turn_id=row.id)
            await asyncio.sleep(PAUSE * (1 + random.random()))  # noqa: S311 - no secret
        return ()

    def _ending(self, row: TurnRow, left: Left, called: Sequence[CallRow]) -> tuple[Ending, int]:
        """How the turn ended, and behind how many events."""
        if left.ending is not None:
            return left.ending
        text, chunks, total = row.text, row.chunks, row.events
        if len(left.events) > row.events or not row.events:
            # What the log has is newer than the checkpoint; of a plain turn it has nothing.
            if row.streamed:
                text, chunks = text_of(left.events)
            total = len(left.events)
        reason: Reason = row.wanted or "interrupted"
        silent = not text and not any(isinstance(event, Chunk) for event in left.events)
        whole = left.known and total <= max(1, len(left.events))
        harmless = all(call.idempotent for call in called)
        again = row.wanted is None and whole and silent and harmless and row.attempt < ATTEMPTS
        ending = Ending(
            reason,
            text,
            chunks,
            row.provider,
            row.model,
            degraded=row.degraded,
            ended_at=self._clock(),
            next_turn_id=new_id("trn") if again else None,
        )
        return ending, total

    async def _commit(self, row: TurnRow, ending: Ending, total: int) -> Finished:
        while True:
            try:
                return await self._lane.finish(
                    row, ending, events=total, run_again=ending.next_turn_id is not None
                )
            except Exception as error:  # noqa: BLE001 - an ending is not given up
                log.warning("ending_waits", error=type(error).__name__, turn_id=row.id)
            await asyncio.sleep(PAUSE * (1 + random.random()))  # noqa: S311 - no secret

    async def _tell(self, row: TurnRow, left: Left, ending: Ending, total: int) -> None:
        """Puts the ending into the log, for the readers who wait there."""
        if self._log is None or left.ending is not None or not left.known:
            return
        given = row.streamed and total == len(left.events)
        lines = [line_of(event) for event in left.events[left.lines :]]
        lines.append(line_of_ending(ending, total, text=not given))
        append = Append(row.session_id, row.id, row.fence, left.lines, lines, final=True)
        deadline = asyncio.get_running_loop().time() + TELL_SECONDS
        while asyncio.get_running_loop().time() < deadline:
            try:
                await self._log.append([append])
            except Away:
                await asyncio.sleep(PAUSE)
            else:
                return
        log.info("ending_not_told", turn_id=row.id)


def _closed(left: Left, called: Sequence[CallRow]) -> Left:
    """What was left, with an end of every call: nobody knows any more how those ended that ran.

    The node may have died before the log had them.
    """
    if left.ending is not None or not left.known:
        return left
    calls = {call.id: call for call in called}
    done = {event.call_id for event in left.events if isinstance(event, ToolDone)}
    opened = {event.call_id: event for event in left.events if isinstance(event, ToolAsked)}
    closing: list[Event] = []
    for call in called:
        if call.id not in opened and call.status == "running":
            asked = ToolAsked(call.id, call.tool, call.arguments, call.expires_at)
            opened[call.id] = asked
            closing.append(asked)
    for call_id, asked in opened.items():
        if call_id not in done:
            ran = call_id in calls and calls[call_id].status == "running"
            closing.append(_end_of(asked, ran=ran))
    return replace(left, events=[*left.events, *closing]) if closing else left


def _end_of(asked: ToolAsked, *, ran: bool) -> ToolDone:
    fault = "the server stopped while the tool ran: it may have run, or not"
    error = ToolFailed(fault if ran else "the turn ended before the tool did")
    status: ToolStatus = "unknown" if ran else "failed"
    return ToolDone(asked.call_id, asked.name, status, error=error.payload())

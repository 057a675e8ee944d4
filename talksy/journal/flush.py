"""From the mirrors of a node to the log, for all its turns together.

One flush is under way at a time, with one append for each turn that has something new. The writer
says what it believes the log has, the log answers what it has, and from there the writer goes on:
so what the log has lost is sent again, and what it has already is not written twice.
"""

import asyncio
import math
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import structlog

from talksy.journal.lines import line_of
from talksy.journal.run import Run
from talksy.state import Append, Appended, Away, TurnLog

log = structlog.get_logger(__name__)

TICK = 0.025
"""Seconds between two flushes of a turn that another node reads."""
BLIND_TICK = 0.05
"""The same where the log cannot tell whether one does."""
IDLE_TICK = 0.25
"""The same where none does."""
EVENTS = 400
"""Of one turn in one flush."""
BYTES = 512 * 1024
"""Of all turns in one flush: an answer must come within its second, however much there is."""
OVERHEAD = 150
"""About what an append takes beside its events."""
PAUSE = 0.1
"""Seconds, at least, before a log that is away is tried again."""


@dataclass(slots=True)
class Flushed:
    """What was written, counted."""

    appends: int = 0
    events: int = 0
    resent: int = 0
    """Events that the log had lost."""


class Flusher:
    """Writes the turns of this node to the log."""

    def __init__(self, turn_log: TurnLog, lose: Callable[[Run], None]) -> None:
        """``lose`` is called with a turn that has another writer."""
        self._log = turn_log
        self._lose = lose
        self._dirty: dict[Run, None] = {}
        self._news = asyncio.Event()
        self._next_at = 0.0
        """When the next flush may be, on the loop's clock."""
        self._wakes_at = -math.inf
        """When it will look, if nothing that is new is due before."""
        self.away = False
        """The last flush came to nothing."""
        self.counts = Flushed()

    def mark(self, run: Run) -> None:
        """The turn has something new."""
        if run not in self._dirty:
            self._dirty[run] = None
            if self._due_at(run) < self._wakes_at:
                self._news.set()

    def hurry(self, run: Run) -> None:
        """The same, and somebody waits for it."""
        run.flushed_at = 0.0
        self._dirty[run] = None
        self._news.set()

    def forget(self, run: Run) -> None:
        """What the log does not have of the turn yet, nobody needs any more."""
        self._dirty.pop(run, None)

    @property
    def behind(self) -> int:
        """How many turns the log does not have whole."""
        return len(self._dirty)

    async def run(self) -> None:
        """Flushes until it is cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self._sleep()
            now = loop.time()
            due = sorted(
                (run for run in self._dirty if self._due_at(run) <= now),
                key=lambda run: run.flushed_at,
            )
            if not due:
                continue
            # Turns of one tick go together, whoever was first.
            self._next_at = now + TICK
            try:
                await self._flush(due)
            except Away:
                self.away = True
                await asyncio.sleep(PAUSE * (1 + random.random()))  # noqa: S311 - no secret
            except Exception:
                # The turns are still in memory and the database has their endings.
                log.exception("flush_failed")
                await asyncio.sleep(1)

    async def _sleep(self) -> None:
        """Until the first turn is due, and no sooner than a tick after the last flush."""
        loop = asyncio.get_running_loop()
        while (wait := self._wakes(loop.time())) > 0:
            self._news.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), wait if self._dirty else None)
        self._wakes_at = -math.inf

    def _wakes(self, now: float) -> float:
        """In how many seconds there is something to do."""
        first = min(map(self._due_at, self._dirty), default=math.inf)
        self._wakes_at = max(first, self._next_at)
        return self._wakes_at - now

    def _due_at(self, run: Run) -> float:
        """When a turn is written next, the sooner if another node reads it."""
        idle = IDLE_TICK if self._log.complete else BLIND_TICK
        return run.flushed_at + (TICK if run.listeners else idle)

    async def _flush(self, due: Sequence[Run]) -> None:
        batch: list[Run] = []
        appends: list[Append] = []
        size = 0
        for run in due:
            if size > BYTES:
                break
            append, length = _next(run, BYTES - size)
            batch.append(run)
            appends.append(append)
            size += length
        now = asyncio.get_running_loop().time()
        for run in batch:
            del self._dirty[run]  # what it gives from here on marks it again
        try:
            answers = await self._log.append(appends)
        except BaseException:
            self._dirty = {**dict.fromkeys(batch), **self._dirty}
            raise
        self.away = False
        for run, append, answer in zip(batch, appends, answers, strict=True):
            run.flushed_at = now
            self._note(run, append, answer)

    def _note(self, run: Run, append: Append, answer: Appended) -> None:
        self.counts.appends += 1
        if answer.have < 0:
            self._dirty.pop(run, None)
            self._lose(run)
            return
        self.counts.events += max(0, answer.have - append.first)
        self.counts.resent += max(0, run.acked - answer.have)
        run.acked = min(answer.have, len(run.mirror.events) + (run.final is not None))
        run.listeners = answer.listeners
        events = len(run.mirror.events)
        if run.lost or (run.final is not None and run.acked > events):
            self._dirty.pop(run, None)
        elif run.acked < events or run.final is not None:
            self._dirty[run] = None


def _next(run: Run, room: int) -> tuple[Append, int]:
    """What the log needs next of a turn: one event at least, more as far as there is room."""
    lines: list[bytes] = []
    size = OVERHEAD
    events = run.mirror.events
    for event in events[run.acked : run.acked + EVENTS]:
        line = line_of(event)
        if lines and size + len(line) > room:
            break
        lines.append(line)
        size += len(line)
    final = run.final is not None and run.acked + len(lines) == len(events)
    if final and run.final is not None:
        lines.append(run.final)
        size += len(run.final)
    row = run.row
    return Append(row.session_id, row.id, row.fence, run.acked, lines, final=final), size

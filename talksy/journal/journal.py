"""Runs turns into mirrors, gives each its one ending, and hands out readers.

The ending of a turn is committed to its row before anybody is told. The row decides: where it has
another ending than this node would have given it, the readers are told the row's.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import structlog

from talksy.conversation import Turn
from talksy.database.lane import Finished, Lane
from talksy.database.rows import TurnRow
from talksy.errors import InternalError, TalksyError, TurnNotFound
from talksy.events import Ending, Reason
from talksy.ids import new_id
from talksy.journal.mirror import Mirror, Reader, ending_of, opened
from talksy.journal.run import Bounds, Run
from talksy.metrics import Metrics
from talksy.tracing import Tracing

log = structlog.get_logger(__name__)

Compose = Callable[[TurnRow], Awaitable[Turn]]
"""Makes the turn of a row: its conversation and its model."""
Announce = Callable[[TurnRow, Mirror], Awaitable[None]]
"""Tells the session's connections of a turn and attaches their readers."""


@dataclass(frozen=True, slots=True)
class Keep:
    """How long and how much a node keeps."""

    bytes: int = 256_000_000
    """All turns together; beyond it no new ones are taken."""
    ended_seconds: float = 30.0
    """An ended turn in memory, unless somebody reads it; later its row answers."""
    checkpoint_seconds: float = 1.0
    """How often the text of running turns is stored: what a crash may lose."""
    patience_seconds: float = 10.0
    """How long an ending waits for the database before the readers are told without it."""


class Journal:
    """The turns of one node."""

    def __init__(
        self,
        lane: Lane,
        *,
        clock: Callable[[], int],
        bounds: Bounds | None = None,
        keep: Keep | None = None,
        metrics: Metrics | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self._lane = lane
        self._clock = clock
        self._bounds = bounds or Bounds()
        self._keep = keep or Keep()
        self._metrics = metrics or Metrics()
        self._tracing = tracing or Tracing()
        self._compose: Compose
        self._announce: Announce
        self._mirrors: dict[str, Mirror] = {}
        self._runs: dict[str, Run] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._ended_at: dict[str, float] = {}
        self._bytes = 0
        self._closing = False

    @asynccontextmanager
    async def open(self, compose: Compose, announce: Announce) -> AsyncIterator[None]:
        """Ends what a dead process left running, goes on with what waits, and serves."""
        self._compose, self._announce = compose, announce
        task = asyncio.create_task(self._look_after(), name="journal")
        try:
            await self._recover()
            yield
        finally:
            self._closing = True
            task.cancel()
            await self.drain(0)
            await asyncio.gather(task, return_exceptions=True)

    # ---- turns

    @property
    def full(self) -> bool:
        """Whether the node holds as much as it may: then no new turn is taken."""
        return self._bytes > self._keep.bytes

    @property
    def bytes(self) -> int:
        """About what turns take in memory, as of the last look."""
        return self._bytes

    @property
    def running(self) -> int:
        """How many turns run here."""
        return len(self._runs)

    def start(self, row: TurnRow) -> None:
        """Runs a turn that the lane has started, unless it was begun before."""
        if row.id in self._mirrors:
            return
        run = Run(row, opened(row), self._bounds, self._metrics)
        self._mirrors[row.id] = run.mirror
        self._runs[row.id] = run
        task = asyncio.create_task(self._run(run), name=f"turn {row.id}")
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None or (task.cancelled() and not self._closing):
            log.critical("turn_lost", task=task.get_name(), exc_info=error)

    async def stop(self, turn_id: str, reason: Reason) -> Ending | None:
        """Ends a running turn and returns its ending, or None where it does not run here."""
        run = self._runs.get(turn_id)
        if run is None:
            return None
        run.stop(reason)
        await run.ended.wait()
        return run.mirror.end

    def halt(self, turn_id: str, reason: Reason) -> None:
        """As ``stop``, without waiting."""
        if run := self._runs.get(turn_id):
            run.stop(reason)

    async def dropped(self, row: TurnRow) -> None:
        """Tells of a turn that ended before it began."""
        mirror = Mirror.past(row)
        self._mirrors[row.id] = mirror
        self._ended_at[row.id] = asyncio.get_running_loop().time()
        self._metrics.turns.ended(ending_of(row), streamed=row.streamed)
        await self._tell(row, mirror)

    def mirror(self, turn_id: str) -> Mirror | None:
        """What is in memory of a turn."""
        return self._mirrors.get(turn_id)

    def of(self, session_id: str) -> list[Mirror]:
        """What runs in a session: one turn, or none."""
        runs = self._runs.values()
        return [run.mirror for run in runs if run.row.session_id == session_id]

    async def read(
        self, session_id: str, turn_id: str, after: int, wake: Callable[[], None]
    ) -> Reader | None:
        """A reader of what follows number ``after``; None for a turn that has yet to begin here.

        Raises ``TurnNotFound`` where this session has no such turn.
        """
        mirror = self._mirrors.get(turn_id)
        if mirror is None:
            # In this order: what waits no longer has a row.
            waits = turn_id in await self._lane.waiting(session_id)
            row = None if waits else await self._lane.find(session_id, turn_id)
            mirror = self._mirrors.get(turn_id)  # it may have begun meanwhile
            if mirror is None and row is not None and row.status != "running":
                mirror = Mirror.past(row)
            if mirror is None and row is None and not waits:
                raise TurnNotFound
        if mirror is None:
            return None
        if mirror.session_id != session_id:
            raise TurnNotFound
        return Reader(mirror, after, wake)

    async def drain(self, seconds: float) -> None:
        """Starts nothing more, gives running turns ``seconds`` to end, then interrupts them."""
        self._closing = True
        if self._tasks and seconds:
            await asyncio.wait(self._tasks, timeout=seconds)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._keep.patience_seconds
        while self._tasks and loop.time() < deadline:
            # Again and again: an ending on its way may have started one more.
            for run in list(self._runs.values()):
                run.stop("interrupted")
            await asyncio.wait(
                self._tasks,
                timeout=deadline - loop.time(),
                return_when=asyncio.FIRST_COMPLETED,
            )
        for task in (late := list(self._tasks)):
            # Only a database that stays away leads here; its rows are ended at the next start.
            log.error("turn_abandoned", task=task.get_name())
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    # ---- one run

    async def _run(self, run: Run) -> None:
        row = run.row
        structlog.contextvars.bind_contextvars(session_id=row.session_id, turn_id=row.id)
        with self._tracing.turn(row.session_id, row.id, streamed=row.streamed) as span:
            finished = await self._answer(run)
            span.ended(run.mirror.end)
        if finished.next is not None:
            self.start(finished.next)

    async def _answer(self, run: Run) -> Finished:
        row = run.row
        await self._tell(row, run.mirror)
        try:
            ending = await run.drain(await self._compose(row))
        except TalksyError as error:
            ending = Ending("failed", run.text, chunks=run.chunks, error=error.payload())
        except Exception:
            ours = InternalError(new_id("req"))
            log.exception("turn_failed", request_id=ours.request_id)
            ending = Ending("failed", run.text, chunks=run.chunks, error=ours.payload())
        return await self._commit(run, replace(ending, ended_at=self._clock()))

    async def _tell(self, row: TurnRow, mirror: Mirror) -> None:
        try:
            await self._announce(row, mirror)
        except Exception:
            # The turn goes on: who was not told finds it by `resume`.
            log.exception("announce_failed", session_id=row.session_id, turn_id=row.id)

    async def _commit(self, run: Run, ending: Ending) -> Finished:
        """Stores the ending, for as long as it takes, and tells the readers."""
        row = run.row
        # A clock of its own: an attempt may take long, too.
        patience = asyncio.get_running_loop().call_later(
            self._keep.patience_seconds, self._give_up, run
        )
        pause = 0.05
        while True:
            try:
                finished = await self._lane.finish(
                    row, ending, events=len(run.mirror.events), advance=not self._closing
                )
                if not finished.won:
                    now = await self._lane.find(row.session_id, row.id)
                    ending = ending_of(now) if now is not None else ending
                    # It may have been ours all the same, and only its answer lost.
                    finished = replace(finished, next=await self._stray(row.session_id))
                break
            except Exception as error:  # noqa: BLE001 - an ending is not given up
                log.warning("ending_waits", error=type(error).__name__, turn_id=row.id)
            await asyncio.sleep(pause)
            pause = min(2 * pause, 1.0)
        patience.cancel()
        self._end(run, ending)
        del self._runs[row.id]
        return finished

    def _give_up(self, run: Run) -> None:
        """The database stays away: the readers are told without it."""
        self._end(run, Ending("interrupted", None, chunks=run.chunks))

    async def _stray(self, session_id: str) -> TurnRow | None:
        """A turn that the lane has started for this node, and that does not run here."""
        row = await self._lane.mine(session_id)
        return row if row is not None and row.id not in self._mirrors else None

    def _end(self, run: Run, ending: Ending) -> None:
        """Tells the readers, the first time."""
        if run.ended.is_set():
            return
        self._ended_at[run.row.id] = asyncio.get_running_loop().time()
        run.mirror.finish(ending)
        run.ended.set()
        self._metrics.turns.ended(ending, streamed=run.row.streamed, seconds=run.seconds)
        log.info("turn_ended", reason=ending.reason, chunks=ending.chunks)

    # ---- what goes on beside

    async def _recover(self) -> None:
        for row in await self._lane.orphans():
            ending = Ending(
                "interrupted",
                row.text,
                row.chunks,
                row.provider,
                row.model,
                degraded=row.degraded,
                ended_at=self._clock(),
            )
            await self._lane.finish(row, ending, events=row.events, advance=False)
            self._metrics.turns.ended(ending, streamed=row.streamed)
            log.info("turn_recovered", session_id=row.session_id, turn_id=row.id)
        for session_id in await self._lane.stalled():
            row_or_none = await self._lane.next(session_id, self._clock())
            if row_or_none is not None:
                self.start(row_or_none)

    async def _look_after(self) -> None:
        while True:
            await asyncio.sleep(self._keep.checkpoint_seconds)
            try:
                await self._checkpoint()
                if not self._closing:
                    await self._begin_strays()
            except Exception as error:  # noqa: BLE001 - the next one may succeed
                log.warning("checkpoint_failed", error=type(error).__name__)
            self._forget()

    async def _checkpoint(self) -> None:
        due = [run for run in self._runs.values() if run.progress > run.stored]
        if not due:
            return
        reached = [run.progress for run in due]
        await self._lane.checkpoint([run.checkpoint() for run in due])
        for run, progress in zip(due, reached, strict=True):
            run.stored = progress

    async def _begin_strays(self) -> None:
        """Starts what was stored by an admission whose answer was lost: nobody else will."""
        for row in await self._lane.strays(self._mirrors):
            log.warning("turn_found", session_id=row.session_id, turn_id=row.id)
            self.start(row)

    def _forget(self) -> None:
        oldest = asyncio.get_running_loop().time() - self._keep.ended_seconds
        for turn_id, ended_at in list(self._ended_at.items()):
            if turn_id in self._runs or self._mirrors[turn_id].readers:
                continue
            if ended_at <= oldest:
                del self._mirrors[turn_id], self._ended_at[turn_id]
        self._bytes = sum(mirror.bytes for mirror in self._mirrors.values())

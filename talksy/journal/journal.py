"""Runs turns into mirrors, gives each its one ending, and hands out readers.

The ending of a turn is committed to its row before anybody is told. The row decides: where it has
another ending than this node would have given it, the readers are told the row's. What other nodes
read goes through the log, what they write is followed, what they leave behind is taken over.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from time import monotonic

import structlog

from talksy.conversation import Course, Parked
from talksy.database.calls import Calls
from talksy.database.lane import Finished, Lane
from talksy.database.leases import Lease, Leases
from talksy.database.rows import TurnRow, Wanted
from talksy.errors import InternalError, TalksyError, TurnNotFound
from talksy.events import Ending, Reason
from talksy.ids import new_id
from talksy.journal.flush import Flushed, Flusher
from talksy.journal.follow import Follower
from talksy.journal.hold import Hold
from talksy.journal.keep import FleetStats, Keep
from talksy.journal.lines import line_of_ending
from talksy.journal.mirror import Mirror, Reader, ending_of, opened
from talksy.journal.parking import Again, Yard, again
from talksy.journal.run import GRAIN_SECONDS, Bounds, Run
from talksy.journal.runs import Runs
from talksy.journal.takeover import Taken, Taker
from talksy.journal.upkeep import Checkpoints, Strays
from talksy.metrics import Metrics
from talksy.state import Away, Bus, TurnLog
from talksy.tracing import Tracing
from talksy.wheel import Wheel

log = structlog.get_logger(__name__)

FORMER_SECONDS = 1.0
"""So long the next turn is held back where the last one's ending is on its way."""

Compose = Callable[[TurnRow, Again | None], Awaitable[Course]]
"""Makes the turn of a row: its conversation, its model and its tools; one that was parked goes on
where it stood."""
Announce = Callable[[TurnRow, Mirror], Awaitable[None]]
"""Tells the session's connections of a turn and attaches their readers."""
Strand = Callable[[Mirror], None]
"""Sends those who read a turn to another node: this one is cut off from whoever knows more."""


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
        leases: Leases | None = None,
        log: TurnLog | None = None,
        bus: Bus | None = None,
        calls: Calls | None = None,
    ) -> None:
        """Without ``leases`` the node has the database to itself; ``log`` and ``bus`` are its ways
        to other nodes.
        """
        self._lane = lane
        self._clock = clock
        self._warned = False
        self._bounds = bounds or Bounds()
        self._wheel = Wheel(GRAIN_SECONDS)
        self._keep = keep or Keep()
        self._metrics = metrics or Metrics()
        self._tracing = tracing or Tracing()
        self._bus = bus
        self._compose: Compose
        self._announce: Announce
        self._strand: Strand
        self._mirrors: dict[str, Mirror] = {}
        self._runs = Runs()
        self._tasks: set[asyncio.Task[None]] = set()
        self._ended_at: dict[str, float] = {}
        self._bytes = 0
        self._closing = False
        self._checkpoints = Checkpoints(lane, self._keep)
        self._strays = Strays(lane)
        self._sought_at = monotonic()
        self._orphaned: dict[str, Run] = {}
        """Turns that were taken from this node and have yet to get their ending."""
        self._lost = 0
        self._hold = Hold(leases, renewed=self._renewed, let_go=self._let_go)
        self._taker = Taker(
            lane, log, clock=clock, taken=self._taken, begin=self.start, calls=calls
        )
        self._follower = Follower(lane, log, ended=self._told)
        self._flusher = Flusher(log, self._lose) if log is not None else None
        self._alone = leases is None
        self._yard = Yard(lane, calls, self._follower, clock=clock, alone=self._alone)

    @asynccontextmanager
    async def open(
        self, compose: Compose, announce: Announce, strand: Strand = lambda _mirror: None
    ) -> AsyncIterator[None]:
        """Ends what dead nodes left running, goes on with what waits, and serves."""
        self._compose, self._announce, self._strand = compose, announce, strand
        await self._hold.take()
        if self._bus is not None:
            self._bus.on_gap(self._follower.heard_again)
            await self._bus.listen(f"node:{self._lane.owner}", self._hear)
        beside = [
            asyncio.create_task(work, name=name)
            for name, work in {
                "journal": self._look_after(),
                "lease": self._hold.run(),
                "takeover": self._sweep(),
                "follow": self._follower.run(),
                **({"flush": self._flusher.run()} if self._flusher else {}),
            }.items()
        ]
        try:
            await self._recover()
            yield
        finally:
            self._closing = True
            await self.drain(0)
            await self._flush_rest()
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
            await self._taker.stop()
            await self._hold.give_back()

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

    def stats(self) -> FleetStats:
        """What this node has done for others and they for it."""
        written = self._flusher.counts if self._flusher else Flushed()
        heard = self._follower.counts
        return FleetStats(
            nodes=self._hold.nodes,
            followed=len(self._follower),
            behind=self._flusher.behind if self._flusher else 0,
            appends=written.appends,
            appended_events=written.events,
            resent_events=written.resent,
            nudges=heard.nudges,
            gaps=heard.gaps,
            log_reads=heard.reads,
            endings_asked=heard.asked,
            taken_over=self._taker.count,
            lost=self._lost,
        )

    def start(self, row: TurnRow) -> None:
        """Runs a turn that the lane has started or woken, unless it was begun before."""
        if row.id in self._mirrors:
            return
        given = self._flusher.mark if self._flusher else None
        known = self._yard.leave(row.id)
        run = Run(
            row,
            known or opened(row),
            self._bounds,
            self._metrics,
            given=given,
            sure=self._hold.sure,
            wheel=self._wheel,
        )
        self._mirrors[row.id] = run.mirror
        self._runs.add(run)
        if given is not None:
            given(run)
        self._spawn(self._run(run), name=f"turn {row.id}")

    def _spawn(self, work: Coroutine[None, None, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
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

    def urge(self, row: TurnRow, reason: Wanted) -> None:
        """Asks for the end of a turn whose row wants it, wherever it runs."""
        if row.owner == self._lane.owner:
            if row.woken is not None:
                self.start(row)
            self.halt(row.id, reason)
        elif self._bus is not None:
            # A hint: the next renewal of the other's lease tells the same.
            self._spawn(self._say_stop(self._bus, row, reason), name=f"urge {row.id}")

    async def _say_stop(self, bus: Bus, row: TurnRow, reason: Wanted) -> None:
        try:
            await bus.say(f"node:{row.owner}", f"stop {row.id} {reason}")
        except Away:
            log.info("stop_not_said", turn_id=row.id)

    def _hear(self, word: str) -> None:
        """What another node asks of this one."""
        match word.split(" "):
            case ["stop", turn_id, ("cancelled" | "interrupted") as reason]:
                self.halt(turn_id, reason)
            case _:
                log.info("word_unknown")  # of a later version

    async def stop_far(self, row: TurnRow, reason: Wanted) -> Ending | None:
        """Ends a turn that another node runs and returns its ending, or None where that does not
        come in time.
        """
        asked = await self._lane.want(row.id, reason)
        if asked is None:
            ended = await self._lane.find(row.session_id, row.id)
            return ending_of(ended) if ended is not None and ended.ended else None
        if asked.runs_at(self._lane.owner):
            self.start(asked)
            return await self.stop(asked.id, reason)
        self._follower.open(asked)
        self.urge(asked, reason)
        return await self._follower.ended(row.id, self._keep.far_seconds)

    async def dropped(self, row: TurnRow) -> None:
        """Tells of a turn that ended before it began."""
        mirror = Mirror.past(row)
        self._mirrors[row.id] = mirror
        self._ended_at[row.id] = asyncio.get_running_loop().time()
        self._metrics.turns.ended(ending_of(row), streamed=row.streamed)
        await self._tell(row, mirror)

    def mirror(self, turn_id: str) -> Mirror | None:
        """What is in memory of a turn that began here."""
        return self._mirrors.get(turn_id) or self._yard.mirror(turn_id)

    def of(self, session_id: str) -> list[Mirror]:
        """What this node runs in a session: one turn, or none."""
        return [run.mirror for run in self._runs.of(session_id)]

    async def open_turn(self, row: TurnRow) -> Mirror:
        """The events of a turn, wherever it runs or ran; attach readers without awaiting more."""
        if row.runs_at(self._lane.owner):
            self.start(row)  # it is about to be, or the word of it was lost
        if mirror := self.mirror(row.id):
            return mirror
        if row.status == "parked" and (mirror := await self._yard.open(row)):
            return self.mirror(row.id) or mirror  # it may go on here meanwhile
        if not row.ended:
            return self._follower.open(row)
        return await self._follower.recall(row) or Mirror.past(row)

    async def former_ended(self, row: TurnRow) -> None:
        """Gives the endings of earlier turns a moment to come, so that they are told before this
        one begins.
        """
        await self._follower.former_ended(row, FORMER_SECONDS)

    async def read(
        self, session_id: str, turn_id: str, after: int, wake: Callable[[], None]
    ) -> Reader | None:
        """A reader of what follows number ``after``; None for a turn that has yet to begin here.

        Raises ``TurnNotFound`` where this session has no such turn.
        """
        mirror = self.mirror(turn_id)
        if mirror is None:
            # In this order: what waits no longer has a row.
            waits = turn_id in await self._lane.waiting(session_id)
            row = None if waits else await self._lane.find(session_id, turn_id)
            mirror = self.mirror(turn_id)  # it may have begun meanwhile
            if mirror is None and row is None and not waits:
                raise TurnNotFound
            if mirror is None and row is not None:
                mirror = await self.open_turn(row)
        if mirror is None:
            return None
        if mirror.session_id != session_id:
            raise TurnNotFound
        return Reader(mirror, after, wake)

    async def drain(self, seconds: float) -> None:
        """Starts nothing more, gives running turns ``seconds`` to end, then interrupts them."""
        self._closing = True
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while self._tasks and loop.time() < deadline:
            # Again and again: what was admitted just now has yet to begin.
            await asyncio.wait(self._tasks, timeout=deadline - loop.time())
        deadline = loop.time() + self._keep.patience_seconds
        while self._tasks and loop.time() < deadline:
            # Again and again: an ending on its way may have started one more.
            for run in self._runs.all():
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
        if row.wanted is not None:
            run.stop(row.wanted)
        if row.fence == 1:  # else it was shown before it was parked
            await self._tell(row, run.mirror)
        try:
            ending = await self._converse(run)
            if ending is None:
                return Finished(won=False)
        except TalksyError as error:
            ending = Ending("failed", run.text, chunks=run.chunks, error=error.payload())
        except Exception:
            ours = InternalError(new_id("req"))
            log.exception("turn_failed", request_id=ours.request_id)
            ending = Ending("failed", run.text, chunks=run.chunks, error=ours.payload())
        return await self._commit(run, replace(ending, ended_at=self._clock()))

    async def _converse(self, run: Run) -> Ending | None:
        """How the turn ends; None where it waits for a person now, or is another node's."""
        so_far = None
        if run.row.fence > 1:
            row = run.row if run.row.woken is not None else await self._lane.awake(run.row)
            if row.woken is not None:
                so_far = again(row.woken)
                run.take_up(so_far.events)
        while True:
            ending = await run.drain(await self._compose(run.row, so_far))
            if isinstance(ending, Ending):
                return ending
            if await self._park(run, ending):
                return None
            # Its end is wanted: what it would wait for nobody was shown.
            so_far = Again(replace(ending, waiting=()))

    async def _park(self, run: Run, parked: Parked) -> bool:
        """Lets the turn wait; False where its end is wanted instead."""
        run.ending = True  # its row is about to be nobody's
        outcome = await self._yard.park(run, parked)
        if outcome == "wanted":
            run.ending = False
            return False
        if outcome == "lost":
            self._lose(run)
        else:
            run.release()
            run.await_person([each.asked for each in parked.waiting])
            del self._mirrors[run.row.id]
            self._yard.enter(run.mirror)
            log.info("turn_parked", session_id=run.row.session_id, turn_id=run.row.id)
        self._runs.remove(run)
        return True

    async def _tell(self, row: TurnRow, mirror: Mirror) -> None:
        try:
            await self._announce(row, mirror)
        except Exception:
            # The turn goes on: who was not told finds it by `resume`.
            log.exception("announce_failed", session_id=row.session_id, turn_id=row.id)

    async def _commit(self, run: Run, ending: Ending) -> Finished:
        """Stores the ending, for as long as it takes, and tells the readers."""
        row, total = run.row, run.events
        run.ending = True
        # A clock of its own: an attempt may take long, too.
        patience = asyncio.get_running_loop().call_later(
            self._keep.patience_seconds, self._give_up, run
        )
        pause = 0.05
        finished = Finished(won=False)
        while not run.lost:
            if run.ended.is_set():
                # The readers were told so already, and the row shall tell no other reason.
                ending = replace(ending, reason="interrupted", error=None)
            run.committing = True
            try:
                finished = await self._lane.finish(
                    row, ending, events=total, advance=not self._closing
                )
                if not finished.won:
                    now = await self._lane.find(row.session_id, row.id)
                    if now is not None and not now.ended:
                        self._lose(run)  # its new owner is about to end it
                        break
                    ending, total = (ending_of(now), now.events) if now else (ending, total)
                break
            except Exception as error:  # noqa: BLE001 - an ending is not given up
                log.warning("ending_waits", error=type(error).__name__, turn_id=row.id)
            run.committing = False
            if run.overdue:
                self._give_up(run)
            await asyncio.sleep(pause)
            pause = min(2 * pause, 1.0)
        patience.cancel()
        if finished.won:
            run.release()
        if not run.lost:
            run.drop()
            self._end(run, ending, total)
        self._runs.remove(run)
        if finished.won:
            self._pass_on(run, ending, total)
        return finished

    def _give_up(self, run: Run) -> None:
        """The database stays away: the readers are told without it.

        Not in the middle of an attempt: it may come to its end, and the row then tells otherwise.
        """
        run.overdue = True
        if not (run.lost or run.committing):
            run.drop()
            total = len(run.mirror.events)
            ending = Ending("interrupted", None, chunks=run.chunks, ended_at=self._clock())
            self._end(run, ending, total)
            if run.final is None:
                # Who reads elsewhere waits no longer, either, and who takes the turn over finds it.
                self._pass_on(run, replace(ending, text=run.text), total)

    def _pass_on(self, run: Run, ending: Ending, total: int) -> None:
        """Gives the ending to the log."""
        if self._flusher is not None:
            text = ending.heard or not run.row.streamed
            run.final = line_of_ending(ending, total, text=text)
            self._flusher.hurry(run)

    def _end(self, run: Run, ending: Ending, total: int) -> None:
        """Tells the readers, the first time."""
        if run.ended.is_set():
            return
        self._ended_at[run.row.id] = asyncio.get_running_loop().time()
        run.mirror.finish(ending, total)
        run.ended.set()
        self._metrics.turns.ended(ending, streamed=run.row.streamed, seconds=run.seconds)
        log.info("turn_ended", reason=ending.reason, chunks=ending.chunks)

    # ---- who writes

    def _renewed(self, lease: Lease, since: float) -> None:
        """The lease was renewed: what is no longer ours is lost, the rest goes on."""
        if lease.nodes > 1 and self._bus is None and not self._warned:
            self._warned = True
            log.warning("nodes_without_redis", nodes=lease.nodes, hint="set REDIS_URL on all")
        for run in self._runs.all():
            if run.row.id not in lease.running:
                if run.began_at < since and not run.ended.is_set() and not run.ending:
                    self._lose(run)
                continue
            run.release()
            wanted = lease.running[run.row.id]
            if wanted is not None:
                run.stop(wanted)

    def _lose(self, run: Run) -> None:
        """Another node has the turn now: its ending is the other's."""
        if run.lost or run.parked:
            return
        self._lost += 1
        self._orphaned[run.row.id] = run
        log.warning("turn_lost_to_other", turn_id=run.row.id, session_id=run.row.session_id)
        run.lose()
        if self._flusher is not None:
            self._flusher.forget(run)
        if run.mirror.end is None:
            self._follower.adopt(run.mirror)
        else:
            del self._orphaned[run.row.id]  # its readers were told before

    def _let_go(self) -> None:
        """The lease is over and nobody can be asked: others end what this node writes."""
        given_up = [run for run in self._runs.all() if not (run.lost or run.overdue)]
        if given_up:
            log.warning("lease_lost", turns=len(given_up))
        for run in given_up:
            run.stop("interrupted")
            self._give_up(run)
        for mirror in self._follower.stranded():
            self._strand(mirror)

    def _told(self, mirror: Mirror) -> None:
        """A mirror has its ending from another node."""
        if run := self._orphaned.pop(mirror.turn_id, None):
            run.ended.set()
        if mirror.turn_id in self._mirrors:
            self._ended_at[mirror.turn_id] = asyncio.get_running_loop().time()

    def _taken(self, taken: Taken) -> None:
        self._metrics.turns.ended(taken.ending, streamed=taken.row.streamed)
        self._follower.settle(taken.row.id, taken.events, taken.ending, taken.total)

    # ---- what goes on beside

    async def _recover(self) -> None:
        """Before anybody is served: what an embedded database was left with is ended at once."""
        await self._taker.look()
        if self._alone:
            await self._taker.settle()
        await self._go_on()

    async def _go_on(self) -> None:
        """Starts what waits where nothing runs."""
        for session_id in await self._lane.stalled():
            row = await self._lane.next(session_id, self._clock())
            if row is not None:
                self.start(row)

    async def _sweep(self) -> None:
        """Looks for what dead nodes left, where there are others."""
        while not self._alone:
            await asyncio.sleep(self._keep.sweep_seconds * (1 + random.random() * 0.67))  # noqa: S311 - no secret
            if self._closing:
                continue
            try:
                await self._taker.look()
                await self._go_on()
            except Exception as error:  # noqa: BLE001 - the next look may succeed
                log.warning("takeover_put_off", error=type(error).__name__)

    async def _look_after(self) -> None:
        while True:
            await asyncio.sleep(self._keep.checkpoint_seconds)
            try:
                logged = self._flusher is not None and not self._flusher.away
                await self._checkpoints.store(self._runs.all(), logged=logged)
                if not self._closing and monotonic() - self._sought_at > self._keep.found_seconds:
                    self._sought_at = monotonic()
                    await self._begin_strays()
                    for row in await self._yard.late():
                        self.start(row)
            except Exception as error:  # noqa: BLE001 - the next one may succeed
                log.warning("checkpoint_failed", error=type(error).__name__)
            self._forget()

    async def _begin_strays(self) -> None:
        """Goes on with what runs in our name and is not known here."""
        for row in await self._strays.look(self._knows):
            log.warning("turn_found", session_id=row.session_id, turn_id=row.id)
            if not row.taken:
                self.start(row)
            else:
                if run := self._runs.get(row.id):
                    self._lose(run)  # it was another's in between
                self._taker.take(row)

    def _knows(self, turn_id: str, taken: bool) -> bool:
        """Whether somebody here runs the turn, or ends it."""
        known = self._taker.under_way if taken else self._mirrors
        return turn_id in known

    async def _flush_rest(self) -> None:
        """Gives the last endings a moment to reach the log: their readers would have to ask."""
        deadline = monotonic() + 1
        while self._flusher is not None and self._flusher.behind and monotonic() < deadline:
            if self._flusher.away:
                return
            await asyncio.sleep(0.01)

    def _forget(self) -> None:
        oldest = asyncio.get_running_loop().time() - self._keep.ended_seconds
        for turn_id, ended_at in list(self._ended_at.items()):
            if turn_id in self._runs or self._mirrors[turn_id].readers:
                continue
            if ended_at <= oldest:
                del self._mirrors[turn_id], self._ended_at[turn_id]
        self._bytes = sum(mirror.bytes for mirror in self._mirrors.values())
        self._bytes += self._follower.size + self._yard.bytes

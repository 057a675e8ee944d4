"""Messages in, turns out: what the door does about the conversation itself."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import structlog

from talksy.ai.llm import LanguageModel
from talksy.conversation import BYTES_PER_TOKEN, Turn, trim
from talksy.database.calls import Decided
from talksy.database.history import History
from talksy.database.lane import Admission, Draft, Lane
from talksy.database.rows import TurnRow
from talksy.errors import Overloaded, TalksyError, TurnNotFound
from talksy.events import Active, Decision, MessageAdded
from talksy.gateway.connection import Connection
from talksy.gateway.hands import UNTRUSTED, Workshop
from talksy.gateway.news import News
from talksy.gateway.registry import Registry
from talksy.gateway.requests import Receipt, Resumed, Rules
from talksy.journal import Again, Journal, Mirror, Reader
from talksy.messages import Message, Prompt

log = structlog.get_logger(__name__)

LOOKS = 10
"""A turn that is to be cancelled is found within so many looks, wherever it goes meanwhile."""
SKEW_MS = 60_000
"""Clocks of nodes may differ by so much, and what was missed is found all the same."""


class Turns:
    """The turns of this node's sessions."""

    def __init__(
        self,
        *,
        lane: Lane,
        history: History,
        journal: Journal,
        registry: Registry,
        model: LanguageModel,
        others: Mapping[str, LanguageModel],
        rules: Rules,
        clock: Callable[[], int],
        news: News,
        workshop: Workshop | None = None,
    ) -> None:
        self._lane = lane
        self._workshop = workshop
        self._history = history
        self._journal = journal
        self._registry = registry
        self._model = model
        self._others = others
        self._rules = rules
        self._clock = clock
        # Who asked for a turn that has yet to be announced: the ack told them of their message.
        self._senders: dict[str, Connection] = {}
        self._queued: dict[str, str] = {}
        """The sessions of those turns that were asked for here and wait."""
        # What was read when a turn was stored, until it is composed.
        self._said: dict[str, Sequence[Message]] = {}
        self._chars = rules.context_tokens * BYTES_PER_TOKEN
        self._news = news
        self._behind: dict[str, bool] = {}
        """Sessions that are being caught up with, and whether there is more since."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._looked_at = clock()
        news.on("turns", self._hear)
        news.sweep(self._look)

    @property
    def waiting(self) -> int:
        """How many turns wait that were asked for here."""
        return len(self._queued)

    async def admit(self, connection: Connection, draft: Draft) -> Receipt:
        """Stores a message and starts or queues its turn, once its sender was told.

        Raises ``Overloaded`` and what ``Lane.admit`` does.
        """
        if self._journal.full:
            raise Overloaded
        self._senders[draft.turn_id] = connection
        connection.hold()
        try:
            admission = await self._lane.admit(
                draft, self._clock(), limit=self._rules.history, chars=self._chars
            )
        except BaseException:
            self._senders.pop(draft.turn_id, None)
            connection.release()
            raise
        if admission.context is not None and self._journal.mirror(admission.turn_id) is None:
            self._said[admission.turn_id] = admission.context
        if admission.duplicate:
            self._senders.pop(draft.turn_id, None)
        elif admission.queued and self._journal.mirror(admission.turn_id) is None:
            self._queued[admission.turn_id] = draft.session_id  # it did not begin meanwhile
        return self.receipt(connection, draft, admission)

    def receipt(self, connection: Connection, draft: Draft, admission: Admission) -> Receipt:
        """What a sender is told of what became of its message."""
        return Receipt(
            message_id=draft.message_id,
            turn_id=admission.turn_id,
            queued=admission.queued,
            duplicate=admission.duplicate,
            begin=partial(self._begin, connection, admission),
        )

    def _begin(self, connection: Connection, admission: Admission) -> None:
        connection.release()
        if admission.started is not None:
            self._journal.start(admission.started)
        if admission.interrupts is not None:
            self._journal.urge(admission.interrupts, "interrupted")

    def forget(self, connection: Connection) -> None:
        """The connection has gone: it is nobody's sender."""
        for turn_id, sender in list(self._senders.items()):
            if sender is connection:
                del self._senders[turn_id]

    # ---- what the journal asks for

    async def compose(self, row: TurnRow, again: Again | None = None) -> Turn:
        """The turn that answers a message: what was said before it, as far as it fits.

        With ``again`` it goes on where it was parked.
        """
        said = self._said.pop(row.id, None)
        if said is None:
            said = await self._history.context(
                row.session_id, row.message_id, self._rules.history, self._chars
            )
        tools = self._workshop.for_turn(row) if self._workshop else None
        prompts = [Prompt(message.role, message.content) for message in said]
        system = [self._rules.system_prompt, UNTRUSTED if tools and tools.specs else ""]
        if any(system):
            prompts.insert(0, Prompt("system", "\n\n".join(filter(None, system))))
        wanted = row.model or self._model.model
        model = self._others.get(wanted, self._model)
        # What was allowed when it was asked for may not be any more.
        lost = model is self._model and wanted != model.model
        return Turn(
            model,
            trim(prompts, self._rules.context_tokens),
            tools,
            steps=self._workshop.steps if self._workshop else 0,
            budget=self._rules.context_tokens,
            degraded=lost,
            parked=again.parked if again else None,
            decided=again.decided if again else None,
        )

    async def announce(self, row: TurnRow, mirror: Mirror) -> None:
        """Shows the message to the session's other devices and the turn to all of them, here and
        on other nodes.
        """
        self._news.tell("turns", row.session_id)
        here = self._registry.of(row.session_id)
        if any(0 <= item.turns < row.ordinal - 1 for item in here):
            # Those before it began on other nodes, and are shown before it.
            try:
                await self._catch_up(row.session_id)
            except TalksyError as error:
                log.warning("turns_not_shown", code=error.code, turn_id=row.id)
        await self._show(row, mirror)

    async def _show(self, row: TurnRow, mirror: Mirror) -> None:
        self._queued.pop(row.id, None)
        sender = self._senders.pop(row.id, None)
        message: Message | None = None
        others = [item for item in self._lacking(row) if item is not sender]
        # What is tried again by itself was shown before.
        if others and not await self._tried_again(row):
            try:
                message = await self._history.find(row.session_id, row.message_id)
            except TalksyError as error:
                # The answer is worth more than the echo of the question.
                log.warning("message_not_shown", code=error.code, turn_id=row.id)
        # Who asked is told, also if its session has ended since it was given its word.
        told = dict.fromkeys(self._lacking(row))
        if sender is not None:
            told[sender] = None
        for connection in told:
            connection.turns = max(connection.turns, row.ordinal)
            shown = message if connection is not sender else None
            connection.deliver(partial(_show, connection, shown, mirror))

    def _lacking(self, row: TurnRow) -> list[Connection]:
        """Who was in the session when the turn began, and was not shown it."""
        here = self._registry.of(row.session_id)
        return [connection for connection in here if connection.turns < row.ordinal]

    async def _tried_again(self, row: TurnRow) -> bool:
        if row.attempt == 1:
            return False
        before = await self._lane.begun(row.session_id, row.ordinal - 2)
        return any(turn.next_turn_id == row.id for turn in before)

    def strand(self, mirror: Mirror) -> None:
        """Hangs up on those who read what this node hears no more of: another one does."""
        for connection in self._registry.of(mirror.session_id):
            if connection.reads(mirror.turn_id):
                log.warning("reader_stranded", turn_id=mirror.turn_id)
                connection.outlet.close(Overloaded(retry_after=1))

    # ---- turns that began on other nodes

    async def came_back(
        self, connection: Connection, session_id: str
    ) -> tuple[Sequence[Active], Sequence[Message]]:
        """What is active in a session, and what was said. Who comes back is shown what begins from
        here; what runs, where it asks.
        """
        # In this order: a turn that ends meanwhile is in one of them, one that begins is held back
        # until the client knows its session.
        here = self._journal.of(session_id)
        scene = await self._history.scene(session_id, self._rules.history)
        connection.turns = max(connection.turns, scene.turns)
        active = self._active(here, scene.running, scene.waiting, scene.pending)
        return active, scene.messages

    def _hear(self, session_id: str) -> None:
        """Something began in a session on another node."""
        if not self._registry.of(session_id):
            return
        if session_id in self._behind:
            self._behind[session_id] = True
            return
        self._behind[session_id] = True
        task = asyncio.create_task(self._follow_up(session_id), name=f"news of {session_id}")
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("news_failed", exc_info=error)

    async def _follow_up(self, session_id: str) -> None:
        try:
            while self._behind[session_id]:
                self._behind[session_id] = False
                await self._catch_up(session_id)
        except TalksyError as error:
            # The rows are looked at again by the sweep.
            log.info("news_put_off", code=error.code)
        finally:
            del self._behind[session_id]

    async def _catch_up(self, session_id: str) -> None:
        """Shows what began in a session and its connections here have not been shown."""
        known = [item.turns for item in self._registry.of(session_id) if item.turns >= 0]
        if not known:
            return
        for row in await self._lane.begun(session_id, min(known)):
            if row.runs_at(self._lane.owner):
                continue  # it begins here, and shows itself
            if any(0 <= item.turns < row.ordinal for item in self._registry.of(session_id)):
                await self._journal.former_ended(row)
                await self._show(row, await self._journal.open_turn(row))

    async def _look(self) -> None:
        """Looks for turns of which no word came."""
        queued = self._queued.items()
        if left := [turn for turn, session in queued if not self._registry.of(session)]:
            # Nobody is shown them here when they begin elsewhere.
            for row in await self._lane.find_all(left):
                self._queued.pop(row.id, None)
        if not self._registry.all:
            return
        now = self._clock()
        lately = await self._lane.lately(self._looked_at - SKEW_MS)
        self._looked_at = now
        for session_id, last in lately.items():
            if any(0 <= item.turns < last for item in self._registry.of(session_id)):
                self._hear(session_id)

    async def close(self) -> None:
        """Looks no further."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # ---- what clients ask of turns

    async def active(self, session_id: str) -> list[Active]:
        """The turn that runs, wherever, then those that wait."""
        here = self._journal.of(session_id)
        # In this order: what waits no longer runs.
        waiting = await self._lane.waiting(session_id)
        running = None if here else await self._lane.running(session_id)
        parked = running is not None and running.status == "parked"
        pending = await self._lane.pending(running.id) if running and parked else ()
        return self._active(here, running, waiting, pending)

    def _active(
        self,
        here: Sequence[Mirror],
        running: TurnRow | None,
        waiting: Sequence[str],
        pending: Sequence[str],
    ) -> list[Active]:
        active = [Active(mirror.turn_id, mirror.last_seq) for mirror in here]
        if not active and running is not None:
            mirror = self._journal.mirror(running.id)
            last_seq = mirror.last_seq if mirror is not None else running.events - 1
            active = [Active(running.id, last_seq, pending)]
        known = {turn.turn_id for turn in active}
        return active + [Active(turn_id, -1) for turn_id in waiting if turn_id not in known]

    async def resume(self, connection: Connection, turn_id: str, after: int) -> Resumed:
        """Goes on with a turn behind number ``after``. Raises ``TurnNotFound``."""
        if connection.session is None:
            raise TurnNotFound
        reader = await self._journal.read(
            connection.session.id, turn_id, after, connection.outlet.wake
        )
        if reader is None:
            # Its stream begins by itself, since the connection is in the session.
            return Resumed("queued", -1, already=False, begin=_nothing)
        mirror = reader.mirror
        status = mirror.end.reason if mirror.end is not None else "running"
        last_seq = max(mirror.last_seq, after + 1) if mirror.end else mirror.last_seq
        if connection.reads(turn_id):
            reader.close()
            return Resumed(status, last_seq, already=True, begin=_nothing)
        return Resumed(status, last_seq, False, begin=partial(connection.read, reader))

    async def cancel(self, session_id: str, turn_id: str | None) -> tuple[str, str]:
        """Ends a turn and returns its id and final status. One that is not named is the one that
        runs, else the first that waits, else the newest.

        Raises ``TurnNotFound``.
        """
        if turn_id is None:
            turn_id = await self._foremost(session_id)
        for _ in range(LOOKS):
            if (status := await self._cancel(session_id, turn_id)) is not None:
                return turn_id, status
            row = await self._lane.find(session_id, turn_id)
            if row is None:
                raise TurnNotFound
            if row.ended:
                return turn_id, row.status
            if not row.runs_at(self._lane.owner):
                ending = await self._journal.stop_far(row, "cancelled")
                if ending is None:
                    break
                return turn_id, ending.reason
            self._journal.start(row)  # it is about to begin here, or the word of it was lost
        raise Overloaded

    async def _foremost(self, session_id: str) -> str:
        running = self._journal.of(session_id)
        turn_id = running[0].turn_id if running else await self._lane.foremost(session_id)
        if turn_id is None:
            raise TurnNotFound
        return turn_id

    async def _cancel(self, session_id: str, turn_id: str) -> str | None:
        """Ends a turn that waits or runs here; None for any other."""
        if self._journal.mirror(turn_id) is None:
            dropped = await self._lane.drop(session_id, turn_id, self._clock())
            if dropped is not None:
                await self._journal.dropped(dropped)
                return dropped.status
        mirror = self._journal.mirror(turn_id)  # it may have begun meanwhile
        if mirror is None or mirror.session_id != session_id:
            return None
        ending = await self._journal.stop(turn_id, "cancelled") or mirror.end
        return ending.reason if ending is not None else None

    async def decide(self, session_id: str, call_id: str, decision: Decision) -> Decided | None:
        """Decides about a call that waits for a person; None where this session has none such.

        The turn that asked for it goes on here when nothing more is waited for.
        """
        if self._workshop is None:
            return None
        decided = await self._workshop.calls.decide(session_id, call_id, decision, self._clock())
        if decided is not None and decided.turn is not None:
            self._journal.start(decided.turn)
        return decided

    async def end(self, session_id: str) -> None:
        """Cancels what waits and what runs in a session."""
        for turn_id in await self._lane.waiting(session_id):
            await self.cancel(session_id, turn_id)
        for mirror in self._journal.of(session_id):
            await self._journal.stop(mirror.turn_id, "cancelled")
        if (row := await self._lane.running(session_id)) is not None:
            await self.cancel(session_id, row.id)


def _show(connection: Connection, message: Message | None, mirror: Mirror) -> None:
    if message is not None and message.id not in connection.seen:
        connection.outlet.tell(MessageAdded(message))
    # Who asked for it by `resume` may be through with it already.
    if not connection.knows(mirror.turn_id):
        connection.read(Reader(mirror, -1, connection.outlet.wake))


def _nothing() -> None:
    """There is nothing to begin."""

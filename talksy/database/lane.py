"""The lane of a session: one turn runs, a few messages wait, and each turn ends once.

All that decides is a row, decided in one transaction: the partial unique index on running turns is
the lane, ``(session, message id)`` is idempotency, ``position`` the order, ``state = 'queued'`` the
queue, and a turn's status changes from ``running`` by compare-and-set on its fence. Whoever changes
a session's lane is alone in it to the end of the transaction, on whichever node.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import Any, Literal

from sqlalchemy import Connection, func, or_, select, update
from sqlalchemy.engine import Row

from talksy.database.engine import Database, alone, reads, writes
from talksy.database.history import PAGE_CHARS, context
from talksy.database.leases import alive
from talksy.database.parking import Halt, close, park, untouched, wake, with_state
from talksy.database.rows import TurnRow, Wanted, turn_row
from talksy.database.statements import (
    ADD_ANSWER,
    ADD_MESSAGE,
    ADD_TURN,
    CHECKPOINT,
    END_TURN,
    FIRST,
    LANE,
    MESSAGE,
    RUNNING,
    SHOW,
)
from talksy.database.tables import messages, turns
from talksy.database.turns import TurnRows
from talksy.database.usage import add_usage
from talksy.errors import IdempotencyConflict, TurnInProgress, TurnQueueFull
from talksy.events import Ending
from talksy.ids import new_id
from talksy.messages import Message

OnBusy = Literal["queue", "reject", "interrupt"]


@dataclass(frozen=True, slots=True)
class Draft:
    """A message that asks for a turn."""

    session_id: str
    message_id: str
    text: str
    streamed: bool
    on_busy: OnBusy = "queue"
    retry: bool = False
    model: str | None = None
    """The model that is asked for; None for the usual one."""
    scope: str | None = None
    """What the token that asks allows."""
    turn_id: str = field(default_factory=lambda: new_id("trn"))
    """The turn's id, if there comes to be one."""

    @property
    def hash(self) -> str:
        """What must be the same when the message is sent again."""
        return sha256(self.text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class Admission:
    """What became of a message."""

    turn_id: str
    queued: bool = False
    duplicate: bool = False
    started: TurnRow | None = None
    """The turn, where it may run now."""
    context: Sequence[Message] | None = None
    """What a model is given to answer it, where the message's own turn may run now."""
    interrupts: TurnRow | None = None
    """The running turn that has to make way, and was asked to."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a running turn has come."""

    turn: TurnRow
    text: str
    events: int
    chunks: int
    provider: str | None = None
    model: str | None = None
    degraded: bool = False


@dataclass(frozen=True, slots=True)
class Finished:
    """Whether this writer gave the turn its ending, and the turn that may run next.

    Where it did not, ``next`` is what runs in the session in this node's name: the ending may have
    been its own all the same, with only the answer lost.
    """

    won: bool
    next: TurnRow | None = None


class Lane(TurnRows):
    """The turns of all sessions, written by the node ``owner``; at most ``queue`` wait in one.

    ``Overloaded`` from any write may mean that it was done all the same and only the word of it
    lost, or that it will be done yet: what runs by then in this node's name is told by ``own``.
    """

    def __init__(self, database: Database, *, owner: str, queue: int = 3) -> None:
        super().__init__(database, owner=owner)
        self._queue = queue

    @reads
    def known(self, connection: Connection, draft: Draft) -> Admission | None:
        """What became of this message when it was sent before, or None.

        Raises ``IdempotencyConflict`` when its id was used for another text.
        """
        row = _message(connection, draft.session_id, draft.message_id)
        return None if row is None or draft.retry else _seen(row, draft)

    @writes
    def admit(
        self,
        connection: Connection,
        draft: Draft,
        now: int,
        *,
        limit: int = 100,
        chars: int = PAGE_CHARS,
    ) -> Admission:
        """Stores the message and starts or queues its turn, or tells what came of it before. The
        context of a turn that starts has ``limit`` messages and ``chars`` as ``History`` has it.

        Raises ``IdempotencyConflict``, ``TurnInProgress`` or ``TurnQueueFull``.
        """
        alone(connection, draft.session_id)
        former = _message(connection, draft.session_id, draft.message_id)
        if former is not None:
            seen = _seen(former, draft)
            if not draft.retry or not _ended_short(connection, former):
                return seen
        stands = connection.execute(LANE, {"session": draft.session_id}).one()
        running = stands.running
        if running is not None:
            self._check_room(stands.waiting, draft)
        position = stands.last + 1
        if running is not None and stands.waiting and draft.on_busy == "interrupt":
            position = _make_room(connection, draft.session_id)
        begins = running is None and not stands.waiting
        _store(connection, draft, former, position, now, "shown" if begins else "queued")
        if begins:
            return Admission(
                draft.turn_id,
                started=self._add(connection, _asked(draft), "running", now),
                # Here and not later: it saves the first word another trip.
                context=context(connection, draft.session_id, draft.message_id, limit, chars),
            )
        if running is None:
            # What waited before, with nothing running, goes first.
            started = self._start(connection, draft.session_id, now)
            return Admission(draft.turn_id, queued=True, started=started)
        interrupts = None
        if draft.on_busy == "interrupt":
            interrupts = _want(connection, self._owner, running, "interrupted")
        return Admission(draft.turn_id, queued=True, interrupts=interrupts)

    def _check_room(self, waiting: int, draft: Draft) -> None:
        if draft.on_busy == "reject":
            raise TurnInProgress
        if waiting >= self._queue:
            raise TurnQueueFull(
                f"{waiting} messages wait in this session, more may not: wait for an answer first"
            )

    def _start(self, connection: Connection, session_id: str, now: int) -> TurnRow | None:
        """Starts the first of the queue; None where nothing waits."""
        row = connection.execute(FIRST, {"session": session_id}).one_or_none()
        if row is None:
            return None
        _show(connection, row)
        return self._add(connection, _asked_in(row), "running", now)

    def _add(
        self, connection: Connection, asked: Mapping[str, Any], status: str, now: int
    ) -> TurnRow:
        begins = status == "running"
        added = connection.execute(
            ADD_TURN,
            {
                **asked,
                "its_owner": self._owner,
                "its_status": status,
                "its_model": asked["its_model"] if begins else None,
                "its_created_at": now,
                "its_ended_at": None if begins else now,
            },
        )
        return turn_row(added.one())

    @writes
    def next(self, connection: Connection, session_id: str, now: int) -> TurnRow | None:
        """Starts what waits in a session where nothing runs."""
        alone(connection, session_id)
        if connection.execute(RUNNING, {"session": session_id}).first() is not None:
            return None
        return self._start(connection, session_id, now)

    @writes
    def finish(
        self,
        connection: Connection,
        turn: TurnRow,
        ending: Ending,
        *,
        events: int,
        advance: bool = True,
        run_again: bool = False,
    ) -> Finished:
        """Gives the turn its ending, counts what it used and, with ``advance``, starts what waits
        behind it; with ``run_again`` its own message as a new turn, whose id the ending tells.

        ``won`` is False when it has one already, or when another node took it over.
        """
        alone(connection, turn.session_id)
        changed = connection.execute(
            END_TURN,
            {
                "its_id": turn.id,
                "its_fence": turn.fence,
                "its_status": ending.reason,
                "its_text": ending.text or "",
                "its_events": events,
                "its_chunks": ending.chunks,
                "its_provider": ending.provider,
                "its_model": ending.model,
                "its_usage": _usage(ending),
                "its_error": dict(ending.error) if ending.error else None,
                "its_degraded": ending.degraded,
                "its_next_turn_id": ending.next_turn_id,
                "its_ended_at": ending.ended_at,
            },
        )
        if changed.rowcount == 0:
            return Finished(won=False, next=self._mine(connection, turn.session_id))
        if turn.fence > 1:
            close(connection, turn)
        if ending.text:
            _answer(connection, turn, ending, ending.text)
        add_usage(connection, turn.session_id, ending)
        if run_again and ending.next_turn_id is not None:
            row = _renamed(connection, turn, ending.next_turn_id)
            return Finished(
                won=True, next=self._add(connection, _asked_in(row), "running", ending.ended_at)
            )
        if not advance:
            return Finished(won=True)
        return Finished(won=True, next=self._start(connection, turn.session_id, ending.ended_at))

    def _mine(self, connection: Connection, session_id: str) -> TurnRow | None:
        """The turn that runs in a session, if it began in this node's name."""
        row = connection.execute(RUNNING, {"session": session_id}).one_or_none()
        turn = turn_row(row) if row else None
        return turn if turn is not None and turn.runs_at(self._owner) else None

    @writes
    def claim(self, connection: Connection, turn: TurnRow) -> TurnRow | None:
        """Takes over a turn of a node that is dead, to end it, or to go on with it where a person
        has approved a call that was not made yet; None where somebody else was faster.
        """
        goes_on = turn.fence > 1 and untouched(connection, turn.id)
        claimed = connection.execute(
            update(turns)
            .where(
                turns.c.id == turn.id,
                turns.c.fence == turn.fence,
                turns.c.status == "running",
                ~alive(turns.c.owner),
            )
            .values(owner=self._owner, fence=turns.c.fence + 1, taken=not goes_on)
            .returning(turns)
        )
        row = claimed.one_or_none()
        if row is None:
            return None
        return with_state(connection, turn_row(row)) if goes_on else turn_row(row)

    @writes
    def want(self, connection: Connection, turn_id: str, reason: Wanted) -> TurnRow | None:
        """Asks whoever writes a running turn to end it; the first who asks counts. One that waits
        for a person goes on in this node's name, to its end.

        Returns the turn, None where it has ended.
        """
        of_turn = select(turns.c.session_id).where(turns.c.id == turn_id)
        session_id = connection.execute(of_turn).scalar_one_or_none()
        if session_id is None:
            return None
        alone(connection, session_id)
        return _want(connection, self._owner, turn_id, reason)

    @writes
    def park(
        self, connection: Connection, halt: Halt, now: int
    ) -> Literal["parked", "wanted", "lost"]:
        """Lets a turn wait for a person, in nobody's name, unless somebody ``wanted`` its end
        meanwhile, or it is another node's.
        """
        alone(connection, halt.turn.session_id)
        return park(connection, self._owner, halt, now)

    @writes
    def drop(
        self, connection: Connection, session_id: str, turn_id: str, now: int
    ) -> TurnRow | None:
        """Ends a turn that still waits as ``cancelled``; None where it does not wait."""
        alone(connection, session_id)
        row = connection.execute(
            select(messages).where(
                messages.c.session_id == session_id,
                messages.c.turn_id == turn_id,
                messages.c.state == "queued",
            )
        ).one_or_none()
        if row is None:
            return None
        _show(connection, row)
        return self._add(connection, _asked_in(row), "cancelled", now)

    @writes
    def checkpoint(self, connection: Connection, rows: Iterable[Checkpoint]) -> None:
        """Stores how far turns that still run have come."""
        # In an order that all keep to, so that two cannot wait for each other.
        values = [
            {
                "its_id": row.turn.id,
                "its_fence": row.turn.fence,
                "its_text": row.text,
                "its_events": row.events,
                "its_chunks": row.chunks,
                "its_provider": row.provider,
                "its_model": row.model,
                "its_degraded": row.degraded,
            }
            for row in sorted(rows, key=lambda row: row.turn.id)
        ]
        # All of them in one trip.
        connection.execute(CHECKPOINT, values)


def _seen(row: Row[Any], draft: Draft) -> Admission:
    if row.hash != draft.hash:
        raise IdempotencyConflict
    return Admission(row.turn_id, queued=row.state == "queued", duplicate=True)


def _usage(ending: Ending) -> dict[str, int] | None:
    return asdict(ending.usage) if ending.usage else None


def _asked(draft: Draft) -> Mapping[str, Any]:
    """What ``ADD_TURN`` is told of a message."""
    return {
        "its_id": draft.turn_id,
        "session": draft.session_id,
        "message": draft.message_id,
        "its_streamed": draft.streamed,
        "its_model": draft.model,
        "its_scope": draft.scope,
    }


def _asked_in(row: Row[Any]) -> Mapping[str, Any]:
    return {
        "its_id": row.turn_id,
        "session": row.session_id,
        "message": row.id,
        "its_streamed": row.streamed,
        "its_model": row.model,
        "its_scope": row.scope,
    }


def _message(connection: Connection, session_id: str, message_id: str) -> Row[Any] | None:
    asked = {"session": session_id, "message": message_id}
    return connection.execute(MESSAGE, asked).one_or_none()


def _want(connection: Connection, owner: str, turn_id: str, reason: Wanted) -> TurnRow | None:
    if (woken := wake(connection, owner, turn_id, reason)) is not None:
        return woken
    asked = connection.execute(
        update(turns)
        .where(turns.c.id == turn_id, turns.c.status == "running")
        .values(wanted=func.coalesce(turns.c.wanted, reason))
        .returning(turns)
    )
    row = asked.one_or_none()
    return turn_row(row) if row else None


def _renamed(connection: Connection, turn: TurnRow, turn_id: str) -> Row[Any]:
    """The turn's message, whose turn is another one from now on."""
    changed = connection.execute(
        update(messages)
        .where(messages.c.session_id == turn.session_id, messages.c.id == turn.message_id)
        .values(turn_id=turn_id)
        .returning(messages)
    )
    row: Row[Any] = changed.one()
    return row


def _ended_short(connection: Connection, former: Row[Any]) -> bool:
    """Whether the message's last turn is over and did not complete."""
    query = select(turns.c.status).where(turns.c.id == former.turn_id)
    status = connection.execute(query).scalar_one_or_none()
    return status not in {None, "running", "parked", "completed"}


def _make_room(connection: Connection, session_id: str) -> int:
    """The position of a message that interrupts: before all that wait."""
    of_session = messages.c.session_id == session_id
    first = connection.execute(
        select(func.min(messages.c.position)).where(of_session, messages.c.state == "queued")
    ).scalar_one()
    # All that follows makes room, a dropped message among them too.
    connection.execute(
        update(messages)
        .where(of_session, messages.c.position >= first)
        .values(position=messages.c.position + 1)
    )
    return int(first)


def _store(
    connection: Connection,
    draft: Draft,
    former: Row[Any] | None,
    position: int,
    now: int,
    state: str,
) -> None:
    if former is None:
        connection.execute(
            ADD_MESSAGE,
            {
                "session_id": draft.session_id,
                "id": draft.message_id,
                "position": position,
                "role": "user",
                "content": draft.text,
                "hash": draft.hash,
                "state": state,
                "streamed": draft.streamed,
                "turn_id": draft.turn_id,
                "model": draft.model,
                "scope": draft.scope,
                "created_at": now,
            },
        )
        return
    # A retry moves the message, and what was said to it, to where it is answered now.
    of_session = messages.c.session_id == draft.session_id
    connection.execute(
        update(messages)
        .where(
            of_session,
            or_(messages.c.id == draft.message_id, messages.c.reply_to == draft.message_id),
        )
        .values(position=position)
    )
    connection.execute(
        update(messages)
        .where(of_session, messages.c.id == draft.message_id)
        .values(
            state=state,
            streamed=draft.streamed,
            turn_id=draft.turn_id,
            model=draft.model,
            scope=draft.scope,
        )
    )


def _show(connection: Connection, row: Row[Any]) -> None:
    connection.execute(SHOW, {"session": row.session_id, "message": row.id})


def _answer(connection: Connection, turn: TurnRow, ending: Ending, text: str) -> None:
    connection.execute(
        ADD_ANSWER,
        {
            "session": turn.session_id,
            "its_id": new_id("msg"),
            "message": turn.message_id,
            "its_content": text,
            "its_turn_id": turn.id,
            "its_interrupted": ending.reason != "completed",
            "its_provider": ending.provider,
            "its_model": ending.model,
            "its_usage": _usage(ending),
            "its_created_at": ending.ended_at,
        },
    )

"""The lane of a session: one turn runs, a few messages wait, and each turn ends once.

All that decides is a row, decided in one transaction: the partial unique index on running turns is
the lane, ``(session, message id)`` is idempotency, ``position`` the order, ``state = 'queued'`` the
queue, and a turn's status changes from ``running`` by compare-and-set on its fence. Whoever changes
a session's lane is alone in it to the end of the transaction, on whichever node.
"""

import asyncio
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import Any, Literal

from sqlalchemy import bindparam, func, or_, select, update
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from talksy.database.engine import Database, again, alone
from talksy.database.leases import alive
from talksy.database.rows import TurnRow, Wanted, turn_row
from talksy.database.tables import messages, turns
from talksy.database.turns import TurnRows
from talksy.database.usage import add_usage
from talksy.errors import IdempotencyConflict, Overloaded, TurnInProgress, TurnQueueFull
from talksy.events import Ending
from talksy.ids import new_id

DOUBT_SECONDS = 15.0
"""How long a commit that was given up may still come through: the server ends what stands still for
10 s, and we what takes longer than 4."""

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
    """Whether this writer gave the turn its ending, and the turn that may run next."""

    won: bool
    next: TurnRow | None = None


class Lane(TurnRows):
    """The turns of all sessions, written by the node ``owner``; at most ``queue`` wait in one."""

    def __init__(self, database: Database, *, owner: str, queue: int = 3) -> None:
        super().__init__(database, owner=owner)
        self._queue = queue
        self._doubtful_until = 0.0
        """A turn may have been stored although its message was refused; by the monotonic clock."""

    async def known(self, draft: Draft) -> Admission | None:
        """What became of this message when it was sent before, or None.

        Raises ``IdempotencyConflict`` when its id was used for another text.
        """
        async with self._database.read() as connection:
            row = await _message(connection, draft.session_id, draft.message_id)
        return None if row is None or draft.retry else _seen(row, draft)

    async def admit(self, draft: Draft, now: int) -> Admission:
        """Stores the message and starts or queues its turn, or tells what came of it before.

        Raises ``IdempotencyConflict``, ``TurnInProgress`` or ``TurnQueueFull``; ``Overloaded`` may
        mean that the message is stored and only the word of it was lost: see ``strays``.
        """
        try:
            return await self._admit(draft, now)
        except (Overloaded, asyncio.CancelledError):
            self._doubtful_until = time.monotonic() + DOUBT_SECONDS
            raise

    @again
    async def _admit(self, draft: Draft, now: int) -> Admission:
        async with self._database.write() as connection:
            await alone(connection, draft.session_id)
            former = await _message(connection, draft.session_id, draft.message_id)
            if former is not None:
                seen = _seen(former, draft)
                if not draft.retry or not await _ended_short(connection, former):
                    return seen
            running = await _running(connection, draft.session_id)
            if running is not None:
                await self._check_room(connection, draft)
            position = await _place(connection, draft, running is not None)
            await _store(connection, draft, former, position, now)
            if running is not None:
                interrupts = None
                if draft.on_busy == "interrupt":
                    interrupts = await _want(connection, running, "interrupted")
                return Admission(draft.turn_id, queued=True, interrupts=interrupts)
            started = await self._start(connection, draft.session_id, now)
            # What waited before, with nothing running, goes first.
            queued = started is not None and started.id != draft.turn_id
            return Admission(draft.turn_id, queued=queued, started=started)

    async def _check_room(self, connection: AsyncConnection, draft: Draft) -> None:
        if draft.on_busy == "reject":
            raise TurnInProgress
        waiting = (
            await connection.execute(
                select(func.count()).where(
                    messages.c.session_id == draft.session_id, messages.c.state == "queued"
                )
            )
        ).scalar_one()
        if waiting >= self._queue:
            raise TurnQueueFull(
                f"{waiting} messages wait in this session, more may not: wait for an answer first"
            )

    async def _start(
        self, connection: AsyncConnection, session_id: str, now: int
    ) -> TurnRow | None:
        """Starts the first of the queue; None where nothing waits."""
        row = (
            await connection.execute(
                select(messages)
                .where(messages.c.session_id == session_id, messages.c.state == "queued")
                .order_by(messages.c.position)
                .limit(1)
            )
        ).one_or_none()
        if row is None:
            return None
        await _show(connection, row)
        return await self._add(connection, row, "running", now)

    async def _add(
        self, connection: AsyncConnection, row: Row[Any], status: str, now: int
    ) -> TurnRow:
        before = select(func.coalesce(func.max(turns.c.ordinal), 0)).where(
            turns.c.session_id == row.session_id
        )
        attempts = select(func.count()).where(
            turns.c.session_id == row.session_id, turns.c.message_id == row.id
        )
        added = await connection.execute(
            turns.insert()
            .values(
                id=row.turn_id,
                session_id=row.session_id,
                message_id=row.id,
                owner=self._owner,
                status=status,
                streamed=row.streamed,
                attempt=attempts.scalar_subquery() + 1,
                ordinal=before.scalar_subquery() + 1,
                model=row.model if status == "running" else None,
                created_at=now,
                ended_at=None if status == "running" else now,
            )
            .returning(turns)
        )
        return turn_row(added.one())

    @again
    async def next(self, session_id: str, now: int) -> TurnRow | None:
        """Starts what waits in a session where nothing runs."""
        async with self._database.write() as connection:
            await alone(connection, session_id)
            if await _running(connection, session_id) is not None:
                return None
            return await self._start(connection, session_id, now)

    @again
    async def finish(
        self,
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
        async with self._database.write() as connection:
            await alone(connection, turn.session_id)
            changed = await connection.execute(
                update(turns)
                .where(
                    turns.c.id == turn.id,
                    turns.c.fence == turn.fence,
                    turns.c.status == "running",
                )
                .values(
                    status=ending.reason,
                    text=ending.text or "",
                    events=events,
                    chunks=ending.chunks,
                    provider=ending.provider,
                    model=ending.model,
                    usage=_usage(ending),
                    error=dict(ending.error) if ending.error else None,
                    degraded=ending.degraded,
                    next_turn_id=ending.next_turn_id,
                    ended_at=ending.ended_at,
                )
            )
            if changed.rowcount == 0:
                return Finished(won=False)
            if ending.text:
                await _answer(connection, turn, ending, ending.text)
            await add_usage(connection, turn.session_id, ending)
            if run_again and ending.next_turn_id is not None:
                row = await _renamed(connection, turn, ending.next_turn_id)
                return Finished(
                    won=True, next=await self._add(connection, row, "running", ending.ended_at)
                )
            if not advance:
                return Finished(won=True)
            return Finished(
                won=True, next=await self._start(connection, turn.session_id, ending.ended_at)
            )

    async def claim(self, turn: TurnRow) -> TurnRow | None:
        """Takes over a turn of a node that is dead; None where somebody else was faster.

        ``Overloaded`` may mean that it was taken all the same: see ``strays``.
        """
        try:
            return await self._claim(turn)
        except (Overloaded, asyncio.CancelledError):
            self._doubtful_until = time.monotonic() + DOUBT_SECONDS
            raise

    @again
    async def _claim(self, turn: TurnRow) -> TurnRow | None:
        async with self._database.write() as connection:
            claimed = await connection.execute(
                update(turns)
                .where(
                    turns.c.id == turn.id,
                    turns.c.fence == turn.fence,
                    turns.c.status == "running",
                    ~alive(turns.c.owner),
                )
                .values(owner=self._owner, fence=turns.c.fence + 1)
                .returning(turns)
            )
            row = claimed.one_or_none()
        return turn_row(row) if row else None

    @again
    async def want(self, turn_id: str, reason: Wanted) -> TurnRow | None:
        """Asks whoever writes a running turn to end it; the first who asks counts.

        Returns the turn, None where it does not run.
        """
        async with self._database.write() as connection:
            return await _want(connection, turn_id, reason)

    @again
    async def drop(self, session_id: str, turn_id: str, now: int) -> TurnRow | None:
        """Ends a turn that still waits as ``cancelled``; None where it does not wait."""
        async with self._database.write() as connection:
            await alone(connection, session_id)
            row = (
                await connection.execute(
                    select(messages).where(
                        messages.c.session_id == session_id,
                        messages.c.turn_id == turn_id,
                        messages.c.state == "queued",
                    )
                )
            ).one_or_none()
            if row is None:
                return None
            await _show(connection, row)
            return await self._add(connection, row, "cancelled", now)

    @again
    async def checkpoint(self, rows: Iterable[Checkpoint]) -> None:
        """Stores how far turns that still run have come."""
        # In an order that all keep to, so that two cannot wait for each other.
        values = [
            {
                "turn_id": row.turn.id,
                "its_fence": row.turn.fence,
                "text": row.text,
                "events": row.events,
                "chunks": row.chunks,
                "provider": row.provider,
                "its_model": row.model,
                "degraded": row.degraded,
            }
            for row in sorted(rows, key=lambda row: row.turn.id)
        ]
        async with self._database.write() as connection:
            # All of them in one trip.
            await connection.execute(_CHECKPOINT, values)

    async def strays(self, known: Collection[str]) -> Sequence[TurnRow]:
        """What runs in this node's name and is not ``known`` here, turns by their ids.

        Looks only where an admission came to no clear end, and for as long as it may still be under
        way.
        """
        if time.monotonic() >= self._doubtful_until:
            return []
        mine = (turns.c.status == "running", turns.c.owner == self._owner)
        async with self._database.read() as connection:
            ids = {row.id for row in await connection.execute(select(turns.c.id).where(*mine))}
            if not ids.difference(known):
                return []
            strange = turns.c.id.in_(ids.difference(known))
            return [turn_row(row) for row in await connection.execute(select(turns).where(strange))]


_CHECKPOINT = (
    update(turns)
    .where(
        turns.c.id == bindparam("turn_id"),
        turns.c.fence == bindparam("its_fence"),
        turns.c.status == "running",
    )
    .values(
        text=bindparam("text"),
        events=bindparam("events"),
        chunks=bindparam("chunks"),
        provider=bindparam("provider"),
        # Until it is chosen, what was asked for stays.
        model=func.coalesce(bindparam("its_model", type_=turns.c.model.type), turns.c.model),
        degraded=bindparam("degraded"),
    )
)


def _seen(row: Row[Any], draft: Draft) -> Admission:
    if row.hash != draft.hash:
        raise IdempotencyConflict
    return Admission(row.turn_id, queued=row.state == "queued", duplicate=True)


def _usage(ending: Ending) -> dict[str, int] | None:
    return asdict(ending.usage) if ending.usage else None


async def _message(
    connection: AsyncConnection, session_id: str, message_id: str
) -> Row[Any] | None:
    return (
        await connection.execute(
            select(messages).where(messages.c.session_id == session_id, messages.c.id == message_id)
        )
    ).one_or_none()


async def _running(connection: AsyncConnection, session_id: str) -> str | None:
    query = select(turns.c.id).where(turns.c.session_id == session_id, turns.c.status == "running")
    return (await connection.execute(query)).scalar_one_or_none()


async def _want(connection: AsyncConnection, turn_id: str, reason: Wanted) -> TurnRow | None:
    asked = await connection.execute(
        update(turns)
        .where(turns.c.id == turn_id, turns.c.status == "running")
        .values(wanted=func.coalesce(turns.c.wanted, reason))
        .returning(turns)
    )
    row = asked.one_or_none()
    return turn_row(row) if row else None


async def _renamed(connection: AsyncConnection, turn: TurnRow, turn_id: str) -> Row[Any]:
    """The turn's message, whose turn is another one from now on."""
    changed = await connection.execute(
        update(messages)
        .where(messages.c.session_id == turn.session_id, messages.c.id == turn.message_id)
        .values(turn_id=turn_id)
        .returning(messages)
    )
    row: Row[Any] = changed.one()
    return row


async def _ended_short(connection: AsyncConnection, former: Row[Any]) -> bool:
    """Whether the message's last turn is over and did not complete."""
    query = select(turns.c.status).where(turns.c.id == former.turn_id)
    status = (await connection.execute(query)).scalar_one_or_none()
    return status not in {None, "running", "completed"}


async def _place(connection: AsyncConnection, draft: Draft, busy: bool) -> int:
    """The position of a new message: the last one, or before all that wait if it interrupts."""
    of_session = messages.c.session_id == draft.session_id
    if busy and draft.on_busy == "interrupt":
        first = (
            await connection.execute(
                select(func.min(messages.c.position)).where(
                    of_session, messages.c.state == "queued"
                )
            )
        ).scalar_one()
        if first is not None:
            # All that follows makes room, a dropped message among them too.
            await connection.execute(
                update(messages)
                .where(of_session, messages.c.position >= first)
                .values(position=messages.c.position + 1)
            )
            return int(first)
    last = select(func.coalesce(func.max(messages.c.position), -1)).where(of_session)
    return int((await connection.execute(last)).scalar_one()) + 1


async def _store(
    connection: AsyncConnection,
    draft: Draft,
    former: Row[Any] | None,
    position: int,
    now: int,
) -> None:
    if former is None:
        await connection.execute(
            messages.insert().values(
                session_id=draft.session_id,
                id=draft.message_id,
                position=position,
                role="user",
                content=draft.text,
                hash=draft.hash,
                state="queued",
                streamed=draft.streamed,
                turn_id=draft.turn_id,
                model=draft.model,
                created_at=now,
            )
        )
        return
    # A retry moves the message, and what was said to it, to where it is answered now.
    of_session = messages.c.session_id == draft.session_id
    await connection.execute(
        update(messages)
        .where(
            of_session,
            or_(messages.c.id == draft.message_id, messages.c.reply_to == draft.message_id),
        )
        .values(position=position)
    )
    await connection.execute(
        update(messages)
        .where(of_session, messages.c.id == draft.message_id)
        .values(state="queued", streamed=draft.streamed, turn_id=draft.turn_id, model=draft.model)
    )


async def _show(connection: AsyncConnection, row: Row[Any]) -> None:
    await connection.execute(
        update(messages)
        .where(messages.c.session_id == row.session_id, messages.c.id == row.id)
        .values(state="shown")
    )


async def _answer(connection: AsyncConnection, turn: TurnRow, ending: Ending, text: str) -> None:
    position = (
        select(messages.c.position)
        .where(messages.c.session_id == turn.session_id, messages.c.id == turn.message_id)
        .scalar_subquery()
    )
    await connection.execute(
        messages.insert().values(
            session_id=turn.session_id,
            id=new_id("msg"),
            position=position,
            role="assistant",
            content=text,
            state="shown",
            turn_id=turn.id,
            reply_to=turn.message_id,
            interrupted=ending.reason != "completed",
            provider=ending.provider,
            model=ending.model,
            usage=_usage(ending),
            created_at=ending.ended_at,
        )
    )

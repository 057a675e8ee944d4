"""Calls of tools: a row before a tool has an effect, and what a person decided about it.

A call ``waiting`` for a person is ``approved``, ``denied`` or ``expired``, by compare-and-set: the
first word counts; ``void`` where the turn that asked ended meanwhile. It is ``running`` from before
its tool is reached for, so that after the death of its node it is known that it may have run; then
it is ``unknown``, and nobody runs it again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    bindparam,
    delete,
    exists,
    func,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.engine import Row
from sqlalchemy.exc import IntegrityError

from talksy.database.engine import Database, alone, reads, writes
from talksy.database.leases import alive
from talksy.database.parking import Asked, ask, wake
from talksy.database.rows import TurnRow
from talksy.database.tables import parked_turns, sessions, tool_calls, turns
from talksy.errors import IdempotencyConflict
from talksy.events import Decision, ToolStatus

DECIDED: Mapping[Decision, str] = {"approve": "approved", "deny": "denied"}
KEPT_MS = 86_400_000
"""So long what is over is kept."""
TOGETHER = 50
_WAITING = (
    select(tool_calls)
    .where(
        tool_calls.c.session_id == bindparam("session"),
        tool_calls.c.turn_id.is_(None),
        tool_calls.c.status == "waiting",
        tool_calls.c.expires_at > bindparam("now"),
    )
    .order_by(tool_calls.c.created_at, tool_calls.c.id)
)
"""Built once: each who comes back asks."""


@dataclass(frozen=True, slots=True)
class CallRow:
    """One call."""

    id: str
    turn_id: str | None
    session_id: str
    tool: str
    arguments: Mapping[str, Any]
    idempotent: bool
    status: str
    created_at: int
    expires_at: int | None
    owner: str | None = None
    """The node that makes it; None before that."""


@dataclass(frozen=True, slots=True)
class Decided:
    """What counts for a call that a person was asked about."""

    call: CallRow
    decision: Decision | None
    """None where it was too late."""
    already: bool
    """Somebody else was faster."""
    turn: TurnRow | None = None
    """The turn that goes on with it, in this node's name."""


class Calls:
    """The calls of all sessions, written by the node ``owner``."""

    def __init__(self, database: Database, *, owner: str) -> None:
        self._database = database
        self._owner = owner

    @writes
    def dispatch(
        self,
        connection: Connection,
        call: Asked,
        now: int,
        *,
        session_id: str,
        idempotent: bool,
        turn: TurnRow | None = None,
        approved: bool = False,
    ) -> str | None:
        """Notes that a tool is about to run, and returns whose session it is.

        None where it must not: this node does not write the turn any more, or the call was not
        ``approved`` as it should have been, or is under way already.
        """
        fenced = self._writes(turn)
        if approved:
            noted = connection.execute(
                update(tool_calls)
                .where(tool_calls.c.id == call.id, tool_calls.c.status == "approved", fenced)
                .values(status="running", idempotent=idempotent, owner=self._owner)
            )
        else:
            values = {
                "id": call.id,
                "turn_id": turn.id if turn else None,
                "session_id": session_id,
                "owner": self._owner,
                "tool": call.tool,
                "arguments": orjson.dumps(call.arguments),
                "idempotent": idempotent,
                "status": "running",
                "created_at": now,
            }
            row = [
                bindparam(f"its_{name}", value, type_=tool_calls.c[name].type)
                for name, value in values.items()
            ]
            noted = connection.execute(
                tool_calls.insert().from_select(list(values), select(*row).where(fenced))
            )
        if not noted.rowcount:
            return None
        owner = select(sessions.c.user_id).where(sessions.c.id == session_id)
        return connection.execute(owner).scalar_one_or_none()

    @writes
    def finish(
        self,
        connection: Connection,
        call_id: str,
        status: ToolStatus,
        turn: TurnRow | None = None,
    ) -> None:
        """Notes how a call of this node's ended, unless another has its turn by now: what was cut
        short for that may have had its effect.
        """
        ours = tool_calls.c.owner == self._owner
        lost = (
            exists().where(turns.c.id == turn.id, turns.c.fence != turn.fence)
            if turn is not None
            else literal(False)
        )
        connection.execute(
            update(tool_calls)
            .where(tool_calls.c.id == call_id, tool_calls.c.status == "running", ours, ~lost)
            .values(status=status)
        )

    def _writes(self, turn: TurnRow | None) -> ColumnElement[bool]:
        """Whether a turn is this node's to write, within a statement."""
        if turn is None:
            return literal(True)
        return exists().where(
            turns.c.id == turn.id,
            turns.c.fence == turn.fence,
            turns.c.owner == self._owner,
            turns.c.status == "running",
        )

    @writes
    def ask(self, connection: Connection, session_id: str, call: Asked, now: int) -> None:
        """Notes a client's call that a person has to approve.

        Raises ``IdempotencyConflict`` where there was one of this id: what is decided about a call
        is not to be taken for another's.
        """
        try:
            ask(connection, session_id, None, [call], now)
        except IntegrityError:
            raise IdempotencyConflict(
                "this callId was used for another call: choose a new one"
            ) from None

    @reads
    def waiting(self, connection: Connection, session_id: str, now: int) -> Sequence[CallRow]:
        """The calls of a session's clients that wait for a person, first first."""
        asked = {"session": session_id, "now": now}
        return [_call(row) for row in connection.execute(_WAITING, asked)]

    @writes
    def decide(
        self,
        connection: Connection,
        session_id: str,
        call_id: str,
        decision: Decision,
        now: int,
    ) -> Decided | None:
        """Decides about a call; None where this session has none that anybody was asked about.

        The turn that waited for it goes on here when nothing more is waited for.
        """
        alone(connection, session_id)
        row = connection.execute(
            select(tool_calls).where(
                tool_calls.c.id == call_id,
                tool_calls.c.session_id == session_id,
                tool_calls.c.expires_at.is_not(None),
            )
        ).one_or_none()
        if row is None:
            return None
        call = _call(row)
        if call.status != "waiting":
            return Decided(call, _counted(call.status), already=True)
        late = call.expires_at is not None and call.expires_at <= now
        connection.execute(
            update(tool_calls)
            .where(tool_calls.c.id == call_id)
            .values(status="expired" if late else DECIDED[decision], owner=self._owner)
        )
        turn = None
        if call.turn_id is not None and not _waits(connection, call.turn_id):
            turn = wake(connection, self._owner, call.turn_id)
        return Decided(call, None if late else decision, already=False, turn=turn)

    @reads
    def adrift(self, connection: Connection, now: int) -> Sequence[CallRow]:
        """Clients' calls that nobody looks after: what is waited for no longer, and what a node
        that is dead was about to make or made.
        """
        late = and_(tool_calls.c.status == "waiting", tool_calls.c.expires_at <= now)
        left = and_(
            tool_calls.c.status.in_(("approved", "running")),
            tool_calls.c.owner != self._owner,
            ~alive(tool_calls.c.owner),
        )
        query = select(tool_calls).where(tool_calls.c.turn_id.is_(None), or_(late, left))
        return [_call(row) for row in connection.execute(query.limit(TOGETHER))]

    @writes
    def settle(self, connection: Connection, call: CallRow, status: ToolStatus) -> bool:
        """Gives a call that is adrift its end; False where another node was faster."""
        settled = connection.execute(
            update(tool_calls)
            .where(tool_calls.c.id == call.id, tool_calls.c.status == call.status)
            .values(status=status)
        )
        return settled.rowcount > 0

    @reads
    def late(self, connection: Connection, now: int) -> Sequence[tuple[str, str]]:
        """Turns that wait for a person no longer, as their sessions and their ids."""
        query = (
            select(turns.c.session_id, turns.c.id)
            .join(parked_turns, parked_turns.c.turn_id == turns.c.id)
            .where(turns.c.status == "parked", parked_turns.c.expires_at <= now)
            .limit(TOGETHER)
        )
        return [(row.session_id, row.id) for row in connection.execute(query)]

    @writes
    def expire(self, connection: Connection, session_id: str, turn_id: str) -> TurnRow | None:
        """Nobody decided about what a turn waits for: it goes on here, without. None where somebody
        did, or another node was faster.
        """
        alone(connection, session_id)
        connection.execute(
            update(tool_calls)
            .where(tool_calls.c.turn_id == turn_id, tool_calls.c.status == "waiting")
            .values(status="expired")
        )
        return wake(connection, self._owner, turn_id)

    @reads
    def of_turn(self, connection: Connection, turn_id: str) -> Sequence[CallRow]:
        """What a turn has called, first first."""
        query = (
            select(tool_calls)
            .where(tool_calls.c.turn_id == turn_id)
            .order_by(tool_calls.c.created_at, tool_calls.c.id)
        )
        return [_call(row) for row in connection.execute(query)]

    @writes
    def forget(self, connection: Connection, now: int) -> None:
        """Erases what was over long ago."""
        oldest = now - KEPT_MS
        connection.execute(
            delete(tool_calls).where(
                tool_calls.c.created_at < oldest,
                func.coalesce(tool_calls.c.expires_at, 0) < oldest,
            )
        )


def _call(row: Row[Any]) -> CallRow:
    values = dict(row._mapping)
    return CallRow(**{**values, "arguments": orjson.loads(values["arguments"])})


def _counted(status: str) -> Decision | None:
    """The decision that led to a status."""
    if status in {"expired", "void"}:
        return None
    return "deny" if status == "denied" else "approve"


def _waits(connection: Connection, turn_id: str) -> bool:
    query = select(
        exists().where(tool_calls.c.turn_id == turn_id, tool_calls.c.status == "waiting")
    )
    return bool(connection.execute(query).scalar_one())

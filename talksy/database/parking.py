"""Turns that wait for a person: no node writes them, and any may go on with them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import orjson
from sqlalchemy import Connection, delete, func, select, update

from talksy.database.rows import TurnRow, Wanted, Woken, turn_row
from talksy.database.tables import parked_turns, tool_calls, turns


@dataclass(frozen=True, slots=True)
class Asked:
    """A call of a tool."""

    id: str
    tool: str
    arguments: Mapping[str, Any]
    expires_at: int | None = None
    """Where a person has to approve it: until when, in milliseconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Halt:
    """A turn that is about to wait."""

    turn: TurnRow
    state: bytes
    """All that is needed to go on with it."""
    calls: Sequence[Asked]
    """What is waited for."""
    text: str
    events: int
    chunks: int


def park(
    connection: Connection, owner: str, halt: Halt, now: int
) -> Literal["parked", "wanted", "lost"]:
    """Lets a turn wait, unless somebody ``wanted`` its end meanwhile, or it is another node's."""
    turn = halt.turn
    ours = (
        turns.c.id == turn.id,
        turns.c.fence == turn.fence,
        turns.c.owner == owner,
        turns.c.status == "running",
    )
    parked = connection.execute(
        update(turns)
        .where(*ours, turns.c.wanted.is_(None))
        .values(status="parked", owner="", text=halt.text, events=halt.events, chunks=halt.chunks)
    )
    if not parked.rowcount:
        found = connection.execute(
            select(turns.c.status, turns.c.owner, turns.c.fence).where(turns.c.id == turn.id)
        ).one()
        if found.fence != turn.fence:
            return "lost"
        if found.status == "parked":
            return "parked"  # the word of it was lost
        return "wanted" if (found.status, found.owner) == ("running", owner) else "lost"
    connection.execute(delete(parked_turns).where(parked_turns.c.turn_id == turn.id))
    connection.execute(
        parked_turns.insert().values(
            turn_id=turn.id,
            expires_at=min(call.expires_at or now for call in halt.calls),
            state=halt.state,
        )
    )
    ask(connection, turn.session_id, turn.id, halt.calls, now)
    return "parked"


def ask(
    connection: Connection, session_id: str, turn_id: str | None, calls: Sequence[Asked], now: int
) -> None:
    """Notes calls that wait for a person."""
    connection.execute(
        tool_calls.insert(),
        [
            {
                "id": call.id,
                "turn_id": turn_id,
                "session_id": session_id,
                "tool": call.tool,
                "arguments": orjson.dumps(call.arguments),
                "idempotent": False,
                "status": "waiting",
                "created_at": now,
                "expires_at": call.expires_at,
            }
            for call in calls
        ],
    )


def wake(
    connection: Connection, owner: str, turn_id: str, wanted: Wanted | None = None
) -> TurnRow | None:
    """Takes up a turn that waits, in the name of ``owner``; None where it does not wait."""
    woken = connection.execute(
        update(turns)
        .where(turns.c.id == turn_id, turns.c.status == "parked")
        .values(
            status="running",
            owner=owner,
            fence=turns.c.fence + 1,
            wanted=func.coalesce(turns.c.wanted, wanted),
        )
        .returning(turns)
    ).one_or_none()
    if woken is None:
        return None
    if woken.wanted is not None:
        # It goes on to its end alone: what it waits for is not to be decided any more.
        of_turn = tool_calls.c.turn_id == turn_id
        connection.execute(
            update(tool_calls)
            .where(of_turn, tool_calls.c.status == "waiting")
            .values(status="void")
        )
    return with_state(connection, turn_row(woken))


def with_state(connection: Connection, turn: TurnRow) -> TurnRow:
    """The turn with what it was parked with, if it was."""
    state = connection.execute(
        select(parked_turns.c.state).where(parked_turns.c.turn_id == turn.id)
    ).scalar_one_or_none()
    if state is None:
        return turn
    calls = connection.execute(
        select(tool_calls.c.id, tool_calls.c.status).where(tool_calls.c.turn_id == turn.id)
    )
    return replace(turn, woken=Woken(state, {row.id: row.status for row in calls}))


def untouched(connection: Connection, turn_id: str) -> bool:
    """Whether nothing was done yet with what a person approved: then all can be done again that
    was done since the turn was woken.
    """
    asked = select(tool_calls.c.status).where(
        tool_calls.c.turn_id == turn_id, tool_calls.c.expires_at.is_not(None)
    )
    statuses = set(connection.execute(asked).scalars())
    return "approved" in statuses and statuses <= {"approved", "denied", "expired"}


def waiting(connection: Connection, turn_id: str) -> list[str]:
    """The calls of a turn that wait for a person."""
    query = (
        select(tool_calls.c.id)
        .where(tool_calls.c.turn_id == turn_id, tool_calls.c.status == "waiting")
        .order_by(tool_calls.c.created_at, tool_calls.c.id)
    )
    return list(connection.execute(query).scalars())


def close(connection: Connection, turn: TurnRow) -> None:
    """A turn that changed hands has its ending: what was left of its calls never runs, and what ran
    on a node that died may have.
    """
    of_turn = tool_calls.c.turn_id == turn.id
    connection.execute(delete(parked_turns).where(parked_turns.c.turn_id == turn.id))
    undecided = tool_calls.c.status.in_(("waiting", "approved"))
    connection.execute(update(tool_calls).where(of_turn, undecided).values(status="void"))
    if turn.taken:
        ran = tool_calls.c.status == "running"
        connection.execute(update(tool_calls).where(of_turn, ran).values(status="unknown"))

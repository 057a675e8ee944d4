"""What the tables hold, as the floors above read it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Row

from talksy.messages import Message, Usage

Wanted = Literal["cancelled", "interrupted"]
"""The ending that somebody may ask for."""


@dataclass(frozen=True, slots=True)
class SessionRow:
    """One session; times in milliseconds since the epoch."""

    id: str
    user_id: str
    created_at: int
    opened_at: int
    last_active_at: int
    expires_at: int
    ended_at: int | None
    duration_seconds: int


@dataclass(frozen=True, slots=True)
class Woken:
    """What a turn was parked with that goes on now."""

    state: bytes
    calls: Mapping[str, str]
    """What became of each of its calls."""


@dataclass(frozen=True, slots=True)
class TurnRow:
    """One turn: who writes it, and how it ended."""

    id: str
    session_id: str
    message_id: str
    owner: str
    fence: int
    status: str
    """``running``, ``parked`` while it waits for a person, or the reason of its ending."""
    streamed: bool
    attempt: int
    text: str
    events: int
    """How many events stand before the ending."""
    chunks: int
    provider: str | None
    model: str | None
    """Which was asked for while it runs, and which answered once it ended."""
    usage: Usage | None
    error: Mapping[str, Any] | None
    degraded: bool
    created_at: int
    ended_at: int | None
    ordinal: int = 0
    """Counts the turns of a session from 1, in the order in which they began."""
    wanted: Wanted | None = None
    """The ending that somebody asks of the node that writes it."""
    next_turn_id: str | None = None
    """The turn in which the same message was tried again."""
    scope: str | None = None
    """What the token that asked for it allows."""
    taken: bool = False
    """Its writer died: whoever owns it now gives it its ending, and no more."""
    woken: Woken | None = None
    """What it was parked with, for whoever goes on with it."""

    @property
    def ended(self) -> bool:
        """Whether it has its ending."""
        return self.status not in {"running", "parked"}

    def runs_at(self, node: str) -> bool:
        """Whether this node writes it: what it took over from another it only ends."""
        return self.status == "running" and self.owner == node and not self.taken


def turn_row(row: Row[Any]) -> TurnRow:
    values = dict(row._mapping)
    usage = values.pop("usage")
    return TurnRow(**values, usage=Usage(**usage) if usage else None)


def message(row: Row[Any]) -> Message:
    return Message(
        id=row.id,
        role=row.role,
        content=row.content,
        created_at=row.created_at,
        turn_id=row.turn_id,
        interrupted=row.interrupted,
    )

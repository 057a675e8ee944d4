"""What happens in a turn. Words: they import nothing of ours but other words.

A streamed turn is ``Started Chunk* Ending``, a plain one is ``Ending`` alone. Events are numbered
by the journal that keeps them: an event does not know its own number.
"""

from dataclasses import dataclass
from typing import Any, Literal

from talksy.messages import Usage

Reason = Literal["completed", "cancelled", "interrupted", "failed"]


@dataclass(frozen=True, slots=True)
class Started:
    """A streamed answer begins. ``Chunk*`` and the ending follow."""

    message_id: str
    """The user's message that is answered."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of the answer."""

    content: str
    index: int
    """Counts the chunks of the answer from 0."""


@dataclass(frozen=True, slots=True)
class Ending:
    """The one ending of a turn. Nothing follows."""

    reason: Reason
    text: str | None
    """The whole answer as history keeps it; None when the database could not be reached."""
    chunks: int = 0
    provider: str | None = None
    model: str | None = None
    usage: Usage | None = None
    error: dict[str, Any] | None = None
    """What a client is told of a failure: ``{code, message, …}``."""
    degraded: bool = False
    """The answer came from a fallback."""
    ended_at: int = 0
    """Milliseconds since the epoch."""


Event = Started | Chunk
"""What a journal keeps under a number; the ending is kept apart, since each reader numbers it."""

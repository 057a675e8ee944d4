"""What happens in a turn, and around it. Words: they import nothing of ours but other words.

A streamed turn is ``Started (Chunk | StreamReset | ToolAsked | ToolDone)* Ending``, a plain one the
same without ``Started``, ``Chunk`` and ``StreamReset``. Each ``ToolAsked`` has its ``ToolDone``
before the ending.
Events are numbered by the journal that keeps them: an event does not know its own number. Nobody
changes one; those that there are very many of are not frozen, since they are made in half the time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from talksy.messages import Message, Usage

Scope = Literal["messages", "reads", "connects"]
"""What a limit counts."""
Reason = Literal["completed", "cancelled", "interrupted", "failed"]
ResetReason = Literal["provider_unavailable", "provider_timeout"]
Decision = Literal["approve", "deny"]
ToolStatus = Literal["done", "failed", "denied", "expired", "unknown"]
"""How a call of a tool ended. ``unknown``: it may have run, and its node died before it said so."""


@dataclass(slots=True)
class Delta:
    """The next piece of an answer's text as its model gives it, never empty."""

    text: str


@dataclass(frozen=True, slots=True)
class Started:
    """A streamed answer begins. ``Chunk*`` and the ending follow."""

    message_id: str
    """The user's message that is answered."""


@dataclass(slots=True)
class Chunk:
    """A piece of the answer: one delta, or several that came close together."""

    content: str
    index: int
    """Counts the chunks of the answer from 0."""


@dataclass(frozen=True, slots=True)
class StreamReset:
    """What came so far is void: the answer begins again, by another provider."""

    reason: ResetReason
    """What the former one failed of."""


@dataclass(frozen=True, slots=True)
class ToolAsked:
    """The model asks for a tool. ``ToolDone`` of the same call follows."""

    call_id: str
    name: str
    arguments: Mapping[str, Any]
    expires_at: int | None = None
    """Where a person must approve it first: until when, in milliseconds since the epoch."""


@dataclass(frozen=True, slots=True)
class ToolDone:
    """A call of a tool is over, however it ended."""

    call_id: str
    name: str
    status: ToolStatus
    result: Any = None
    """What it returned, as JSON has it; None where there is an ``error``."""
    error: Mapping[str, Any] | None = None
    """What a client is told of a failure: ``{code, message, …}``."""
    ms: int = 0
    """How long it ran; waiting does not count."""


@dataclass(frozen=True, slots=True)
class Ending:
    """The one ending of a turn. Nothing follows."""

    reason: Reason
    text: str | None
    """The whole answer as history keeps it. None where a reader was given all of it already, or
    where the database could not be reached."""
    chunks: int = 0
    provider: str | None = None
    model: str | None = None
    usage: Usage | None = None
    error: Mapping[str, Any] | None = None
    """What a client is told of a failure: ``{code, message, …}``."""
    degraded: bool = False
    """The answer came from a fallback."""
    ended_at: int = 0
    """Milliseconds since the epoch."""
    next_turn_id: str | None = None
    """The turn in which the same message is tried again, where nothing had been said yet."""
    heard: bool = False
    """The answer was spoken and cut short: its text is what was heard of it."""
    metrics: Mapping[str, int] | None = None
    """Of a voice turn, how long what took, in milliseconds."""


Event = Started | Chunk | StreamReset | ToolAsked | ToolDone
"""What a journal keeps under a number; the ending is kept apart, since each reader numbers it."""


@dataclass(frozen=True, slots=True)
class Active:
    """A turn that has not ended: it runs, or it waits for its lane."""

    turn_id: str
    last_seq: int
    """The last number there is, -1 for none."""
    pending: Sequence[str] = ()
    """The calls that wait for a person."""


@dataclass(frozen=True, slots=True)
class SessionCreated:
    """A new session stands behind this connection."""

    session_id: str
    expires_at: int
    restore_failed: Literal["expired", "not_found"] | None = None
    guest_token: str | None = None
    """With what a guest comes back, where it has nothing yet or its own grows old."""


@dataclass(frozen=True, slots=True)
class SessionRestored:
    """The session asked for stands behind this connection."""

    session_id: str
    expires_at: int
    history: Sequence[Message]
    active: Sequence[Active]
    guest_token: str | None = None
    """A fresh one for a guest whose own grows old."""


@dataclass(frozen=True, slots=True)
class SessionOver:
    """The session has ended: its next message opens a new one."""

    session_id: str
    reason: Literal["idle", "age", "ended"]


@dataclass(frozen=True, slots=True)
class MessageAdded:
    """Another device of the session said something."""

    message: Message


@dataclass(frozen=True, slots=True)
class ToolDecided:
    """Somebody decided about a call that waited for a person."""

    call_id: str
    decision: Decision
    turn_id: str | None = None
    """The turn that asked for it; None where a client did."""


@dataclass(frozen=True, slots=True)
class Limited:
    """The budget runs low, or is used up."""

    scope: Scope
    limit: int
    remaining: int
    reset_at: int
    """Milliseconds since the epoch."""
    retry_after: float | None = None
    """Seconds; None where nothing was refused."""


@dataclass(frozen=True, slots=True)
class AuthExpiring:
    """The token of this connection runs out: ``auth_refresh`` brings another."""

    expires_at: int
    guest_token: str | None = None
    """The other one, for a guest."""


@dataclass(frozen=True, slots=True)
class Draining:
    """The server is about to stop."""

    reconnect_after_ms: int


@dataclass(frozen=True, slots=True)
class Fault:
    """Something failed that no acknowledgement can tell of."""

    error: Mapping[str, Any]
    """``{code, message, …}``."""


# ---- of voice; times are milliseconds from the start of the stream


@dataclass(frozen=True, slots=True)
class SpeechBegan:
    """Somebody has begun to speak."""

    stream_id: str
    offset_ms: int
    probability: float


@dataclass(frozen=True, slots=True)
class SpeechEnded:
    """Somebody has spoken."""

    stream_id: str
    offset_ms: int
    probability: float


@dataclass(frozen=True, slots=True)
class Woken:
    """The wake word was said: from here on is listened."""

    wake_word: str
    confidence: float
    timestamp: int
    """Milliseconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Transcribed:
    """What somebody says. A partial one replaces the former one; the final one is the last."""

    text: str
    final: bool
    start_ms: int
    end_ms: int
    confidence: float | None = None
    language: str | None = None
    turn_id: str | None = None
    """The turn that answers it."""


@dataclass(frozen=True, slots=True)
class SoundBegan:
    """An answer is about to be heard. ``Sound*`` and ``SoundEnded`` or ``SoundVoid`` follow."""

    turn_id: str
    audio_seq: int
    """Counts what is sent of a turn's sound, from 0."""


@dataclass(frozen=True, slots=True)
class Sound:
    """A frame of an answer's sound, at 24 kHz."""

    turn_id: str
    audio_seq: int
    pcm: bytes
    text: str | None = None
    """What is said from here on, at the first frame of each piece."""


@dataclass(frozen=True, slots=True)
class SoundEnded:
    """That was all of it."""

    turn_id: str
    audio_seq: int


@dataclass(frozen=True, slots=True)
class SoundVoid:
    """What was sent and not played of a turn is void. No frame of it follows, unless it begins
    anew.
    """

    turn_id: str


Notice = (
    SessionCreated
    | SessionRestored
    | SessionOver
    | MessageAdded
    | ToolAsked
    | ToolDecided
    | ToolDone
    | Limited
    | AuthExpiring
    | Draining
    | Fault
    | SpeechBegan
    | SpeechEnded
    | Woken
    | Transcribed
    | SoundBegan
    | Sound
    | SoundEnded
    | SoundVoid
)
"""What a connection is told beside the turns it reads; of tools, what clients call themselves."""

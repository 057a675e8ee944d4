"""What is asked at the door, and what it answers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from talksy.audio import IN_RATE
from talksy.database.lane import OnBusy
from talksy.events import Active, Decision
from talksy.voice import TurnDetection

Mode = Literal["turn", "transcribe", "dictate"]
"""What becomes of what is heard: an answer, a transcript, or an answer to all of it in the end."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the door allows."""

    messages: int = 10
    """How many messages an identity may send each ``messages_ms``."""
    messages_ms: int = 60_000
    reads: int = 600
    """How many other requests each minute."""
    connects: int = 600
    """How many times it may connect each minute: each new session is a row."""
    newcomers: int = 60
    """How many new guests an address may bring each minute."""
    max_chars: int = 32_000
    history: int = 100
    """How many messages a model is given, and a client that comes back."""
    context_tokens: int = 8_000
    system_prompt: str = ""
    spread_ms: int = 5_000
    """Over what time clients are asked to come back when the server stops."""


@dataclass(frozen=True, slots=True)
class Hello:
    """What a client brings when it connects."""

    token: str | None
    """None for a guest who was never here."""
    session_id: str | None = None
    reopen: bool = False
    resume: Sequence[tuple[str, int]] = ()
    """``(turn id, after)`` of the turns to go on with."""


@dataclass(frozen=True, slots=True)
class Say:
    """A message that asks for an answer."""

    text: str
    streamed: bool
    message_id: str | None = None
    on_busy: OnBusy = "queue"
    retry: bool = False
    model: str | None = None
    """One of those that may be chosen; None for the usual one."""
    speak: bool = False
    """Whether the answer is spoken, where its sender is listened to."""


@dataclass(frozen=True, slots=True)
class VoiceStart:
    """A microphone that is about to be listened to. None is as the profile has it."""

    mode: Mode = "turn"
    profile: str | None = None
    """The usual one unless it is named."""
    sample_rate: int = IN_RATE
    language: str | None = None
    voice: str | None = None
    turn_detection: TurnDetection | None = None
    """What was said in it stands over the profile's, field by field."""


@dataclass(frozen=True, slots=True)
class Listening:
    """A microphone is listened to."""

    stream_id: str
    profile: str
    """The profile that counts."""
    auto_start: bool
    """Whether it says that listening starts by itself: clients go by it when they come."""


@dataclass(frozen=True, slots=True)
class Call:
    """A tool that a client calls."""

    tool: str
    parameters: Mapping[str, Any]
    call_id: str | None = None


@dataclass(frozen=True, slots=True)
class Called:
    """A call was accepted. ``begin`` must be called once its sender was told."""

    call_id: str
    begin: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What counts for a call that waited. ``begin`` must be called once its sender was told."""

    decision: Decision
    already: bool
    """Somebody had decided before."""
    begin: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Receipt:
    """A message was stored. ``begin`` must be called once its sender was told."""

    message_id: str
    turn_id: str
    queued: bool
    duplicate: bool
    begin: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Resumed:
    """Where a turn stands. What was missed follows ``begin``, called once the client was told."""

    status: str
    """``queued``, ``running``, or the reason of its ending."""
    last_seq: int
    already: bool
    begin: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Info:
    """A session and what goes on in it; times in milliseconds since the epoch."""

    session_id: str
    message_count: int
    created_at: int
    last_activity_at: int
    expires_at: int
    active: Sequence[Active]

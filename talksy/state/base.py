"""What every adapter of the shared state promises."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

Clock = Callable[[], int]
"""Gives milliseconds."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a window said."""

    allowed: bool
    limit: int
    remaining: int
    """What may still be taken now, after what was taken."""
    reset_at: int
    """When there is more room, in milliseconds since the epoch: for a refusal the moment at which
    what was asked fits, else the moment at which the oldest leaves the window."""
    retry_after: float
    """Seconds until what was asked fits; 0 when it was allowed."""


class Windows(Protocol):
    """Sliding windows, one a key: no window, however placed, holds more than its limit.

    A window is half-open: of two hits exactly ``window_ms`` apart the first has left when the
    second comes. A key belongs to one window length; its limit may change between hits.
    """

    async def hit(self, key: str, limit: int, window_ms: int, cost: int = 1) -> Verdict:
        """Takes ``cost`` if all of it fits and nothing otherwise, in one atomic step.

        A cost of 0 takes nothing and answers what a cost of 1 would get. What can never fit,
        such as anything under a limit of 0, is refused and told to come back after a window.
        Raises ``ValueError`` for a negative number or a window without length.
        """
        ...

    async def refund(self, key: str, cost: int = 1) -> None:
        """Gives back the newest ``cost`` of what was taken, or all if that is less.

        Raises ``ValueError`` for a negative cost.
        """
        ...


class Away(Exception):
    """The shared state cannot be reached, or does not do what it is asked. Try again later."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where to read the log of a turn from."""

    session_id: str
    turn_id: str
    first: int
    """The number of the first event that is wanted."""


@dataclass(frozen=True, slots=True)
class Append:
    """What a writer has for the log of its turn."""

    session_id: str
    turn_id: str
    fence: int
    """How often the turn changed hands: of two writers the one with the higher fence is right."""
    first: int
    """The number of the first of ``events``."""
    events: Sequence[bytes]
    """Lines without a newline in them."""
    final: bool = False
    """The last of them is the ending."""


@dataclass(frozen=True, slots=True)
class Appended:
    """What the log holds now."""

    have: int
    """How many events: fewer than were sent where it had lost some, the writer goes on from here.
    -1 where a later writer has the turn: then nothing was written."""
    listeners: int
    """How many nodes follow the session, as far as can be told."""


@dataclass(frozen=True, slots=True)
class Nudge:
    """News of a turn: its next events, or only that there are some."""

    turn_id: str
    first: int
    events: Sequence[bytes]
    """Empty where there is too much to tell: it stands in the log."""


class TurnLog(Protocol):
    """The events of turns on their way to other nodes: event *i* of a turn under number *i*.

    The writer keeps all of them until the turn has ended, so a log may forget; it can neither have
    a gap nor take an event twice. All methods raise ``Away``.
    """

    complete: bool
    """Whether ``Appended.listeners`` counts the nodes of the whole fleet."""

    async def append(self, appends: Sequence[Append]) -> Sequence[Appended]:
        """Adds what is new of each, all in one trip, and tells who follows.

        Sending the same again changes nothing; nothing is written behind an ending, nor where
        events before ``first`` are missing.
        """
        ...

    async def seal(self, session_id: str, turn_id: str, fence: int) -> Sequence[bytes]:
        """Shuts out all writers with a lower fence, then returns all events."""
        ...

    async def read(self, places: Sequence[Place]) -> Sequence[Sequence[bytes] | None]:
        """Up to ``READ_EVENTS`` events from each place on, all in one trip.

        None where the log knows nothing of the turn, or has fewer events than lie before the place.
        """
        ...

    async def follow(self, session_id: str, hear: Callable[[Nudge], None]) -> None:
        """Calls ``hear`` with all news of the session's turns from the moment this returns.

        One listener a session; following again replaces it.
        """
        ...

    def unfollow(self, session_id: str) -> None:
        """Listens no longer."""
        ...


READ_EVENTS = 400
RUNNING_MS = 900_000
"""How long a log is kept after its last event."""
ENDED_MS = 120_000
"""How long after the ending; then the database answers."""


class Bus(Protocol):
    """Words between nodes. A word may be lost, so behind each stands a row that tells the same.

    Words of one sender on one channel come in their order.
    """

    async def say(self, channel: str, word: str) -> None:
        """Tells all who listen on ``channel``. Raises ``Away``."""
        ...

    async def listen(self, channel: str, hear: Callable[[str], None]) -> None:
        """Calls ``hear`` with each word said on ``channel`` from now on, also after an outage.

        Does not raise ``Away``: where nobody can be heard yet it begins as soon as may be. One
        listener a channel.
        """
        ...

    def on_gap(self, call: Callable[[], None]) -> None:
        """``call`` is called when words and nudges may have been missed, and all are heard again:
        what is read from now on has no hole."""
        ...


@dataclass(frozen=True, slots=True)
class Slot:
    """Room for one thing that runs, for somebody."""

    key: str
    """Its own; no client chooses it."""
    user_id: str
    session_id: str


class Slots(Protocol):
    """How much may run at once for a user, and in one of the user's sessions.

    A slot is held until it is freed; those of a node that died are free after ``SLOT_MS``.
    """

    async def take(self, slot: Slot, *, per_session: int, per_user: int) -> bool:
        """Takes it if there is room by both limits and nothing otherwise, in one atomic step."""
        ...

    async def free(self, slot: Slot) -> None:
        """Gives it back; one that is not held is none."""
        ...


SLOT_MS = 10_000
"""How long a slot is held without a word from its node."""

"""One client's connection, whatever it came by."""

from collections.abc import Callable
from typing import Literal, Protocol

from talksy.auth import Identity
from talksy.errors import TalksyError
from talksy.events import Notice
from talksy.journal import Reader
from talksy.sessions import Session

NOTHING: frozenset[str] = frozenset()
"""One for all: each that is made takes 200 bytes."""


class Outlet(Protocol):
    """The way to a client. All of it returns at once and keeps the order of the calls."""

    def tell(self, notice: Notice) -> None:
        """Sends what happened beside the turns."""
        ...

    def attach(self, reader: Reader) -> None:
        """Sends what the reader gives, as the client can take it, until it is over."""
        ...

    def wake(self) -> None:
        """There is more to read: what a ``Reader`` made for this outlet calls."""
        ...

    def close(self, error: TalksyError) -> None:
        """Tells the client why, and hangs up."""
        ...


class Connection:
    """Who is connected, from where, and in which session."""

    __slots__ = (
        "_held",
        "_readers",
        "address",
        "closed",
        "closes_at",
        "guest_token",
        "identity",
        "outlet",
        "restore_failed",
        "restored",
        "seen",
        "session",
        "tell_at",
        "turns",
    )

    def __init__(self, identity: Identity, address: str, outlet: Outlet) -> None:
        self.identity = identity
        self.address = address
        self.outlet = outlet
        self.session: Session | None = None
        """None when it has ended; the next message opens a new one."""
        self.restored = False
        """It came back to its session."""
        self.restore_failed: Literal["expired", "not_found"] | None = None
        """Why it did not."""
        self.seen = NOTHING
        """Messages it was told of in its history, as long as others are held back."""
        self.guest_token: str | None = None
        """With what a guest comes back, where it does not know yet."""
        self.tell_at = 0
        """When it is told that its token runs out, in milliseconds since the epoch."""
        self.closes_at: int | None = None
        """When it is closed for that; None until it was told."""
        self.turns = 0
        """The ordinal of the last turn of its session that it knows of: what begins behind it is
        shown to it. -1 while that is being found out."""
        self.closed = False
        """The client has gone."""
        self._readers: dict[str, Reader | None] | None = None
        # What the client may not see yet: it was not greeted, or awaits an ack that comes first.
        self._held: list[Callable[[], None]] | None = None

    @property
    def user_id(self) -> str:
        """Whose connection it is."""
        return self.identity.user_id

    def hold(self) -> None:
        """What is delivered from here on waits for ``release``."""
        if self._held is None:
            self._held = []

    def release(self) -> None:
        """Delivers what was held, in order."""
        held, self._held = self._held, None
        for action in held or ():
            action()
        self.seen = NOTHING

    def deliver(self, action: Callable[[], None]) -> None:
        """Does ``action`` now, or when the client may see it."""
        if self._held is None:
            action()
        else:
            self._held.append(action)

    def read(self, reader: Reader) -> None:
        """Sends a turn, unless it is being sent already, or to nobody."""
        turn_id = reader.mirror.turn_id
        if self.closed or self.reads(turn_id):
            reader.close()
            return
        readers = self._readers or {}
        if self._held is None:
            # What is held back asks which turns were sent.
            readers = {key: old for key, old in readers.items() if old and not old.over}
        readers[turn_id] = reader
        self._readers = readers
        self.outlet.attach(reader)

    def reads(self, turn_id: str) -> bool:
        """Whether it is being sent this turn."""
        reader = self._readers.get(turn_id) if self._readers else None
        return reader is not None and not reader.over

    def knows(self, turn_id: str) -> bool:
        """Whether it is being sent this turn, or was a moment ago."""
        return self._readers is not None and turn_id in self._readers

    def tidy(self) -> None:
        """Lets go of turns that it was sent to their end: of those it keeps the names."""
        readers = self._readers or {}
        for turn_id, reader in readers.items():
            if reader is not None and reader.over:
                readers[turn_id] = None

    def close(self) -> None:
        """Lets go of every turn."""
        self.closed = True
        for reader in (self._readers or {}).values():
            if reader is not None:
                reader.close()
        self._readers = None
        self._held = None

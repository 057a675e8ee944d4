"""One client's connection, whatever it came by."""

from collections.abc import Callable
from typing import Literal, Protocol

from talksy.auth import Identity
from talksy.errors import TalksyError
from talksy.events import Notice
from talksy.journal import Reader
from talksy.sessions import Session


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
        self.seen: frozenset[str] = frozenset()
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
        self._readers: dict[str, Reader] = {}
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
        self.seen = frozenset()

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
        if self._held is None:
            # What is held back asks which turns were sent.
            self._readers = {key: old for key, old in self._readers.items() if not old.over}
        self._readers[turn_id] = reader
        self.outlet.attach(reader)

    def reads(self, turn_id: str) -> bool:
        """Whether it is being sent this turn."""
        reader = self._readers.get(turn_id)
        return reader is not None and not reader.over

    def knows(self, turn_id: str) -> bool:
        """Whether it is being sent this turn, or was a moment ago."""
        return turn_id in self._readers

    def close(self) -> None:
        """Lets go of every turn."""
        self.closed = True
        for reader in self._readers.values():
            reader.close()
        self._readers.clear()
        self._held = None

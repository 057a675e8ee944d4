"""Who is connected to this node."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from talksy.auth import Identity
from talksy.errors import SessionLimit
from talksy.gateway.connection import Connection


@dataclass(frozen=True, slots=True)
class Caps:
    """How many sockets, and whose, there may be at once: a user's on all nodes together, those of
    an address on each.
    """

    per_user: int = 20
    per_address: int = 100
    guests_per_address: int = 10


class Index:
    """Connections under a key. A key without connections is forgotten."""

    def __init__(self) -> None:
        # Most keys have one: a tuple takes a quarter of a set.
        self._connections: dict[str, tuple[Connection, ...]] = {}

    def add(self, key: str, connection: Connection) -> None:
        self._connections[key] = (*self.of(key), connection)

    def drop(self, key: str, connection: Connection) -> None:
        left = tuple(other for other in self.of(key) if other is not connection)
        if left:
            self._connections[key] = left
        else:
            self._connections.pop(key, None)

    def of(self, key: str) -> tuple[Connection, ...]:
        return self._connections.get(key, ())


class Registry:
    """The connections, by session, login and user, and counted by address."""

    def __init__(self, caps: Caps) -> None:
        self._caps = caps
        self._sessions = Index()
        self._families = Index()
        self._users = Index()
        self._addresses: Counter[str] = Counter()
        self._guests: dict[str, Counter[str]] = {}
        """The guests of each address, and how often each is connected."""
        self.all: dict[Connection, None] = {}

    def reserve(self, connection: Connection) -> None:
        """Adds a connection, until ``release``. Raises ``SessionLimit``."""
        for count, cap, whose in (
            (len(self._users.of(connection.user_id)), self._caps.per_user, "account"),
            (self._addresses[connection.address], self._caps.per_address, "address"),
        ):
            if count >= cap:
                raise _full(whose, cap)
        if connection.identity.guest:
            self._reserve_guest(connection.address, connection.user_id)
        self._users.add(connection.user_id, connection)
        self._addresses[connection.address] += 1
        self._families.add(connection.identity.family_id, connection)
        self.all[connection] = None

    def check(self, connection: Connection, elsewhere: int) -> None:
        """Looks whether its user has room for it who has ``elsewhere`` connections on other nodes.

        Raises ``SessionLimit``.
        """
        if len(self._users.of(connection.user_id)) + elsewhere > self._caps.per_user:
            raise _full("account", self._caps.per_user)

    def _reserve_guest(self, address: str, guest_id: str) -> None:
        guests = self._guests.get(address, Counter())
        cap = self._caps.guests_per_address
        if guest_id not in guests and len(guests) >= cap:
            raise SessionLimit(f"this address has {cap} guests: log in, or close a connection")
        self._guests.setdefault(address, guests)[guest_id] += 1

    def release(self, connection: Connection) -> None:
        """Takes a connection away."""
        if connection not in self.all:
            return
        del self.all[connection]
        self._families.drop(connection.identity.family_id, connection)
        self._users.drop(connection.user_id, connection)
        _take_one(self._addresses, connection.address)
        if connection.identity.guest:
            guests = self._guests[connection.address]
            _take_one(guests, connection.user_id)
            if not guests:
                del self._guests[connection.address]

    def renew(self, connection: Connection, identity: Identity) -> None:
        """The connection goes on under another token of the same user."""
        if connection in self.all:
            self._families.drop(connection.identity.family_id, connection)
            self._families.add(identity.family_id, connection)
            connection.identity = identity

    def enter(self, connection: Connection) -> None:
        """Adds the connection to its session."""
        if connection.session is not None:
            self._sessions.add(connection.session.id, connection)

    def exit(self, connection: Connection) -> None:
        """Takes the connection out of its session."""
        if connection.session is not None:
            self._sessions.drop(connection.session.id, connection)

    def of(self, session_id: str) -> Sequence[Connection]:
        """The connections of a session."""
        return self._sessions.of(session_id)

    def family(self, family_id: str) -> Sequence[Connection]:
        """The connections that came with, or went over to, tokens of a family."""
        return self._families.of(family_id)

    def user(self, user_id: str) -> Sequence[Connection]:
        """The connections of a user."""
        return self._users.of(user_id)


def _full(whose: str, cap: int) -> SessionLimit:
    return SessionLimit(f"this {whose} has {cap} connections: close one first")


def _take_one(counter: Counter[str], key: str) -> None:
    counter[key] -= 1
    if not counter[key]:
        del counter[key]

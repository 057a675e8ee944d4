"""Who is connected to this node."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from talksy.errors import SessionLimit
from talksy.gateway.connection import Connection


@dataclass(frozen=True, slots=True)
class Caps:
    """How many sockets there may be at once."""

    per_user: int = 20
    per_address: int = 100


class Registry:
    """The connections, by session, and counted by user and address."""

    def __init__(self, caps: Caps) -> None:
        self._caps = caps
        self._sessions: dict[str, dict[Connection, None]] = {}
        self._users: Counter[str] = Counter()
        self._addresses: Counter[str] = Counter()
        self.all: dict[Connection, None] = {}

    def reserve(self, connection: Connection) -> None:
        """Adds a connection, until ``release``. Raises ``SessionLimit``."""
        for counter, key, cap, whose in (
            (self._users, connection.user_id, self._caps.per_user, "account"),
            (self._addresses, connection.address, self._caps.per_address, "address"),
        ):
            if counter[key] >= cap:
                raise SessionLimit(f"this {whose} has {cap} connections: close one first")
        self._users[connection.user_id] += 1
        self._addresses[connection.address] += 1
        self.all[connection] = None

    def release(self, connection: Connection) -> None:
        """Takes a connection away."""
        if connection not in self.all:
            return
        del self.all[connection]
        for counter, key in (
            (self._users, connection.user_id),
            (self._addresses, connection.address),
        ):
            counter[key] -= 1
            if not counter[key]:
                del counter[key]

    def enter(self, connection: Connection) -> None:
        """Adds the connection to its session."""
        if connection.session is not None:
            self._sessions.setdefault(connection.session.id, {})[connection] = None

    def exit(self, connection: Connection) -> None:
        """Takes the connection out of its session."""
        if connection.session is None:
            return
        members = self._sessions.get(connection.session.id, {})
        members.pop(connection, None)
        if not members:
            self._sessions.pop(connection.session.id, None)

    def of(self, session_id: str) -> Sequence[Connection]:
        """The connections of a session."""
        return list(self._sessions.get(session_id, ()))

    def family(self, family_id: str) -> Sequence[Connection]:
        """The connections that came with tokens of a family."""
        return [item for item in self.all if item.identity.family_id == family_id]

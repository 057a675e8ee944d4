"""The tokens of open sockets run out: who is told, and who has to go.

One look a second at all of them, by the clock of the day, as tokens are read: when that is set back
they live longer, when it is set forward their clients still have their time to bring another.
"""

import asyncio
from collections.abc import Callable
from functools import partial

import structlog

from talksy.auth import Auth
from talksy.errors import TokenExpired
from talksy.events import AuthExpiring
from talksy.gateway.connection import Connection
from talksy.gateway.registry import Registry

log = structlog.get_logger(__name__)

LOOK_SECONDS = 1.0
NOTICE_MS = 60_000
"""So long before its end a client is told."""
GRACE_MS = 10_000
"""So long after its end, and after it was told, its socket is closed."""


class Expiry:
    """Looks after the tokens of a node's connections."""

    def __init__(self, auth: Auth, registry: Registry, clock: Callable[[], int]) -> None:
        self._auth = auth
        self._registry = registry
        self._clock = clock

    def watch(self, connection: Connection) -> None:
        """A client has come: it is told a minute before, or at once where less is left."""
        connection.tell_at = connection.identity.expires_at - NOTICE_MS
        connection.closes_at = None

    def renewed(self, connection: Connection) -> None:
        """It goes on under another token. Of a brief one it is told half way through, since who
        brings another whenever told would be told all the time.
        """
        self.watch(connection)
        left = connection.identity.expires_at - self._clock()
        connection.tell_at = connection.identity.expires_at - min(NOTICE_MS, left // 2)

    async def run(self) -> None:
        """Looks at them until it is cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self.look()

    def look(self) -> None:
        """Tells those whose token runs out, and closes those who brought no other in time."""
        now = self._clock()
        for connection in list(self._registry.all):
            try:
                connection.tidy()
                self._look_at(connection, now)
            except Exception:
                # One socket's failure leaves the others' tokens looked after.
                log.exception("expiry_failed")

    def _look_at(self, connection: Connection, now: int) -> None:
        identity = connection.identity
        if connection.closes_at is None:
            if now >= connection.tell_at:
                connection.closes_at = max(identity.expires_at, now) + GRACE_MS
                token = self._auth.guest_token(identity.user_id) if identity.guest else None
                notice = AuthExpiring(identity.expires_at, token)
                connection.deliver(partial(connection.outlet.tell, notice))
        elif now >= connection.closes_at:
            connection.outlet.close(TokenExpired())

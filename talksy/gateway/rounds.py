"""What ends by itself: sessions whose time has run out, and the connections of revoked logins."""

import asyncio
from contextlib import suppress

import structlog

from talksy.auth import Auth
from talksy.errors import SessionExpired, Unauthenticated
from talksy.events import SessionOver
from talksy.gateway.calls import ClientCalls
from talksy.gateway.news import News
from talksy.gateway.presence import Presence
from talksy.gateway.registry import Registry
from talksy.sessions import Sessions

log = structlog.get_logger(__name__)

SWEEP_SECONDS = 1.0


class Rounds:
    """Looks after the sessions and logins of a node's connections."""

    def __init__(
        self,
        *,
        auth: Auth,
        sessions: Sessions,
        registry: Registry,
        presence: Presence,
        calls: ClientCalls,
        news: News,
    ) -> None:
        self._auth = auth
        self._sessions = sessions
        self._registry = registry
        self._presence = presence
        self._calls = calls
        self._news = news
        self._doubts = asyncio.Event()
        """Another node said that a session is over."""
        auth.on_revoked(self._revoked)
        news.on("revoked", self._revoked_elsewhere)
        news.on("over", self._said_over)
        news.sweep(sessions.look)
        news.sweep(self._look)

    async def run(self) -> None:
        """Ends sessions until it is cancelled."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(SWEEP_SECONDS):
                    await self._doubts.wait()
            self._doubts.clear()
            try:
                over = await self._sessions.sweep()
            except Exception as error:  # noqa: BLE001 - the next one may succeed
                log.warning("sweep_failed", error=type(error).__name__)
                await asyncio.sleep(SWEEP_SECONDS)
                continue
            for session in over:
                self._calls.stop(session.id, SessionExpired())
                for connection in self._registry.of(session.id):
                    # Who came since is in the session that was opened again.
                    if connection.session is session:
                        connection.outlet.tell(SessionOver(session.id, session.why))
                        self._presence.exit(connection)

    def _said_over(self, session_id: str) -> None:
        if self._sessions.doubt(session_id):
            self._doubts.set()

    # ---- logins

    def _revoked(self, family_id: str) -> None:
        self._news.tell("revoked", family_id)
        self._close(family_id)

    def _revoked_elsewhere(self, family_id: str) -> None:
        self._auth.forget(family_id)
        self._close(family_id)

    async def _look(self) -> None:
        """Finds the logins that were revoked and of which no word came."""
        for family_id in await self._auth.revoked(asked=bool(self._registry.all)):
            self._close(family_id)

    def _close(self, family_id: str) -> None:
        for connection in self._registry.family(family_id):
            connection.outlet.close(Unauthenticated("these tokens were revoked: log in again"))

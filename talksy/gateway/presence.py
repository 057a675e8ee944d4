"""Coming and going: who is let in, into which session, and whether that still lives."""

from collections.abc import Callable

import structlog

from talksy.auth import Auth, Identity
from talksy.errors import (
    Forbidden,
    SessionExpired,
    SessionNotFound,
    TalksyError,
    Unauthenticated,
    error_payload,
)
from talksy.events import Fault, SessionCreated, SessionOver, SessionRestored
from talksy.gateway.budgets import Budgets
from talksy.gateway.calls import ClientCalls
from talksy.gateway.connection import Connection, Outlet
from talksy.gateway.expiry import Expiry
from talksy.gateway.registry import Registry
from talksy.gateway.requests import Hello
from talksy.gateway.turns import Turns
from talksy.ids import new_id
from talksy.metrics import Metrics
from talksy.sessions import Session, Sessions

log = structlog.get_logger(__name__)


class Presence:
    """Who is connected to this node, and the sessions they are in."""

    def __init__(
        self,
        *,
        auth: Auth,
        sessions: Sessions,
        registry: Registry,
        budgets: Budgets,
        expiry: Expiry,
        turns: Turns,
        calls: ClientCalls,
        clock: Callable[[], int],
        metrics: Metrics,
        over: Callable[[Connection, Session], None],
    ) -> None:
        """``over`` is called where somebody is still there whose session has ended."""
        self._auth = auth
        self._sessions = sessions
        self._registry = registry
        self._budgets = budgets
        self._expiry = expiry
        self._turns = turns
        self._calls = calls
        self._clock = clock
        self._metrics = metrics
        self._over = over

    # ---- who comes

    async def connect(self, hello: Hello, address: str, outlet: Outlet) -> Connection:
        """Lets a client in.

        Raises ``Unauthenticated``, ``TokenExpired``, ``RateLimited`` or ``SessionLimit``.
        """
        token = hello.token or await self._admit_guest(hello, address)
        identity = await self._auth.verify(token, guests=True)
        connection = Connection(identity, address, outlet)
        connection.guest_token = self._guest_token(identity, None if hello.token else token)
        connection.hold()
        self._expiry.watch(connection)
        self._registry.reserve(connection)
        try:
            await self._budgets.take(connection, "connects")
            elsewhere = await self._sessions.sockets_elsewhere(connection.user_id)
            self._registry.check(connection, elsewhere)
            session = await self._session(connection, hello)
            try:
                # Revoked in the meantime, it was in nobody's list to be closed.
                await self._auth.verify(token, guests=True)
            except BaseException:
                self._sessions.part(session)
                raise
        except BaseException:
            self._registry.release(connection)
            raise
        self._enter(connection, session)
        if connection.restored:
            connection.turns = -1  # until it is welcomed
        return connection

    async def welcome(self, connection: Connection, hello: Hello) -> None:
        """Tells the client its session, then what it missed."""
        session = connection.session
        if session is not None and connection.restored:
            active, history = await self._turns.came_back(connection, session.id)
            connection.seen = frozenset(message.id for message in history)
            connection.outlet.tell(
                SessionRestored(
                    session.id, session.expires_at, history, active, connection.guest_token
                )
            )
            for asked in await self._calls.waiting(session.id):
                connection.outlet.tell(asked)
        elif session is not None:
            connection.outlet.tell(
                SessionCreated(
                    session.id,
                    session.expires_at,
                    connection.restore_failed,
                    connection.guest_token,
                )
            )
        for turn_id, after in hello.resume:
            try:
                resumed = await self._turns.resume(connection, turn_id, after)
                resumed.begin()
            except TalksyError as error:
                payload = error_payload(error, turnId=turn_id, requestId=new_id("req"))
                connection.outlet.tell(Fault(payload))
        connection.release()

    async def renew(self, connection: Connection, token: str) -> int:
        """Goes on under another token of the same user; returns when that runs out, in
        milliseconds since the epoch.

        Raises ``Unauthenticated``, ``TokenExpired`` or ``Forbidden``.
        """
        with self._metrics.attempt("renew"):
            identity = await self._auth.verify(token, guests=True)
            if identity.user_id != connection.user_id:
                raise Forbidden("this token is another user's: open a connection with it")
        self._registry.renew(connection, identity)
        self._expiry.renewed(connection)
        return identity.expires_at

    async def _admit_guest(self, hello: Hello, address: str) -> str:
        """The token of a guest who was never here."""
        # An empty token is a login that went wrong, and no guest.
        if hello.token is not None or not self._auth.guests:
            raise Unauthenticated
        with self._metrics.attempt("guest"):
            await self._budgets.admit(address)
        return self._auth.guest_token(new_id("gst"))

    def _guest_token(self, identity: Identity, new: str | None) -> str | None:
        """What a guest is told to come back with; None where it has that already."""
        if identity.guest and self._clock() * 2 > identity.issued_at + identity.expires_at:
            return self._auth.guest_token(identity.user_id)
        return new

    async def _session(self, connection: Connection, hello: Hello) -> Session:
        if hello.session_id is not None:
            try:
                session = await self._sessions.restore(
                    connection.user_id, hello.session_id, reopen=hello.reopen
                )
            except SessionNotFound:
                connection.restore_failed = "not_found"
            except SessionExpired:
                connection.restore_failed = "expired"
            else:
                connection.restored = True
                return session
        return await self._sessions.create(connection.user_id)

    # ---- the session of who is here

    async def present(self, connection: Connection) -> Session:
        """The connection's session; a new one where it has ended. Raises ``SessionLimit``."""
        session = connection.session
        if session is not None and await self._sessions.lives(session):
            return session
        if session is not None:
            self._end(connection, session)
        session = await self._sessions.create(connection.user_id)
        self._enter(connection, session)
        connection.outlet.tell(SessionCreated(session.id, session.expires_at))
        return session

    async def still(self, connection: Connection, session: Session) -> None:
        """Whether a session goes on in which something was said, by somebody who may have gone
        since. Who is there is told where its time has run out. Raises ``SessionExpired``.
        """
        if connection.session is not session:
            if await self._sessions.goes_on(session.id):
                return
        elif await self._sessions.lives(session):
            return
        elif session.expires_at <= self._clock():
            self._end(connection, session)
        raise SessionExpired("the session has ended: this is not answered")

    def _end(self, connection: Connection, session: Session) -> None:
        connection.outlet.tell(SessionOver(session.id, session.why))
        self.exit(connection)

    async def living(self, connection: Connection) -> Session:
        """The connection's session. Raises ``SessionExpired`` where it has ended."""
        session = connection.session
        if session is None or not await self._sessions.lives(session):
            raise SessionExpired("the session has ended: the next message opens a new one")
        return session

    async def charge(self, connection: Connection) -> None:
        """Counts a request that is not a message. Raises ``RateLimited``."""
        await self._budgets.take(connection, "reads")
        session = connection.session
        if session is not None and await self._sessions.lives(session):
            self._sessions.touch(session)

    def _enter(self, connection: Connection, session: Session) -> None:
        if connection.closed:
            self._sessions.part(session)  # it has gone meanwhile
            return
        connection.session = session
        connection.turns = 0
        self._registry.enter(connection)

    # ---- who goes

    def exit(self, connection: Connection) -> None:
        """Its session has ended: it is in none any more."""
        if connection.session is not None:
            self._over(connection, connection.session)
        self._part(connection)

    def _part(self, connection: Connection) -> None:
        if connection.session is not None:
            self._registry.exit(connection)
            self._sessions.part(connection.session)
            connection.session = None

    def leave(self, connection: Connection) -> None:
        """It has gone."""
        self._part(connection)
        self._registry.release(connection)

    async def close(self) -> None:
        """Leaves the sessions to the other nodes."""
        try:
            await self._sessions.close()
        except Exception as error:  # noqa: BLE001 - others give them their grace
            log.warning("sessions_not_left", error=type(error).__name__)

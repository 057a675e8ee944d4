"""The door: authenticate, limit, admit; start turns and hand out readers.

It knows no transport: a connection is an identity, a session and an outlet.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import structlog

from talksy.ai.llm import LanguageModel
from talksy.auth import Auth
from talksy.database.history import History
from talksy.database.lane import Draft, Lane
from talksy.database.rows import SessionRow
from talksy.errors import (
    PayloadTooLarge,
    RateLimited,
    ServerDraining,
    SessionExpired,
    SessionNotFound,
    TalksyError,
    Unauthenticated,
    ValidationError,
    error_payload,
)
from talksy.events import (
    Draining,
    Fault,
    Limited,
    SessionCreated,
    SessionOver,
    SessionRestored,
)
from talksy.gateway.connection import Connection, Outlet
from talksy.gateway.registry import Caps, Registry
from talksy.gateway.requests import Hello, Info, Receipt, Resumed, Rules, Say
from talksy.gateway.turns import Turns
from talksy.ids import new_id
from talksy.journal import Journal
from talksy.messages import Message
from talksy.ratelimit import Limiter
from talksy.sessions import Session, Sessions

log = structlog.get_logger(__name__)

SWEEP_SECONDS = 1.0
MINUTE_MS = 60_000


class Gateway:
    """One node's door."""

    def __init__(
        self,
        *,
        auth: Auth,
        sessions: Sessions,
        limiter: Limiter,
        lane: Lane,
        history: History,
        journal: Journal,
        model: LanguageModel,
        clock: Callable[[], int],
        rules: Rules | None = None,
        caps: Caps | None = None,
    ) -> None:
        self._auth = auth
        self._sessions = sessions
        self._limiter = limiter
        self._lane = lane
        self._history = history
        self._journal = journal
        self._model = model
        self._rules = rules or Rules()
        self._registry = Registry(caps or Caps())
        self._turns = Turns(
            lane=lane,
            history=history,
            journal=journal,
            registry=self._registry,
            model=model,
            rules=self._rules,
            clock=clock,
        )
        self.draining = False
        """Whether it lets nobody in any more."""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Goes on with what a dead process left, then keeps the door until it is closed."""
        self._auth.on_revoked(self._revoked)
        await self._sessions.start()
        async with self._journal.open(self._turns.compose, self._turns.announce):
            task = asyncio.create_task(self._sweep(), name="sessions")
            try:
                yield
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._registry.all)

    # ---- coming and going

    async def connect(self, hello: Hello, address: str, outlet: Outlet) -> Connection:
        """Lets a client in, or raises why not. ``welcome`` follows once it knows that it is in.

        Raises ``ServerDraining``, ``Unauthenticated``, ``TokenExpired``, ``RateLimited`` or
        ``SessionLimit``.
        """
        if self.draining:
            raise ServerDraining
        if not hello.token:
            raise Unauthenticated
        identity = await self._auth.verify(hello.token)
        connection = Connection(identity, address, outlet)
        connection.hold()
        self._registry.reserve(connection)
        try:
            await self._take(connection, "connects", self._rules.connects, MINUTE_MS)
            session = await self._session(connection, hello)
            # Revoked in the meantime, it was in nobody's list to be closed.
            await self._auth.verify(hello.token)
        except BaseException:
            self._registry.release(connection)
            raise
        self._enter(connection, session)
        return connection

    async def welcome(self, connection: Connection, hello: Hello) -> None:
        """Tells the client its session, then what it missed."""
        session = connection.session
        if session is not None and connection.restored:
            # In this order: a turn that ends meanwhile is in one of them, one that begins is
            # held back until the client knows its session.
            active = await self._turns.active(session.id)
            history = await self._history.read(session.id, self._rules.history) or []
            connection.seen = frozenset(message.id for message in history)
            connection.outlet.tell(SessionRestored(session.id, session.expires_at, history, active))
        elif session is not None:
            connection.outlet.tell(
                SessionCreated(session.id, session.expires_at, connection.restore_failed)
            )
        for turn_id, after in hello.resume:
            try:
                resumed = await self._turns.resume(connection, turn_id, after)
                resumed.begin()
            except TalksyError as error:
                payload = error_payload(error, turnId=turn_id, requestId=new_id("req"))
                connection.outlet.tell(Fault(payload))
        connection.release()

    def leave(self, connection: Connection) -> None:
        """The client has gone. Its turns go on."""
        connection.close()
        self._turns.forget(connection)
        self._exit(connection)
        self._registry.release(connection)

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

    def _enter(self, connection: Connection, session: Session) -> None:
        if connection.closed:
            return  # it has gone meanwhile
        connection.session = session
        self._sessions.join(session)
        self._registry.enter(connection)

    def _exit(self, connection: Connection) -> None:
        if connection.session is not None:
            self._registry.exit(connection)
            self._sessions.part(connection.session)
            connection.session = None

    # ---- what clients ask for

    async def charge(self, connection: Connection) -> None:
        """Counts a request that is not a message. Raises ``RateLimited``."""
        await self._take(connection, "reads", self._rules.reads, MINUTE_MS)
        if connection.session is not None and self._sessions.lives(connection.session):
            self._sessions.touch(connection.session)

    async def say(self, connection: Connection, say: Say) -> Receipt:
        """Stores a message that asks for an answer. ``begin`` of the receipt must be called.

        Raises ``ValidationError``, ``PayloadTooLarge``, ``RateLimited``, ``ServerDraining``,
        ``IdempotencyConflict``, ``TurnInProgress``, ``TurnQueueFull``, ``SessionLimit`` or
        ``Overloaded``.
        """
        try:
            self._check(say)
        except TalksyError:
            await self.charge(connection)
            raise
        if self.draining:
            raise ServerDraining
        session = await self._present(connection)
        draft = Draft(
            session_id=session.id,
            message_id=say.message_id or new_id("msg"),
            text=say.text,
            streamed=say.streamed,
            on_busy=say.on_busy,
            retry=say.retry,
        )
        try:
            key = await self._take(
                connection, "messages", self._rules.messages, self._rules.messages_ms
            )
        except RateLimited:
            # What was accepted before is said again even to those who may say nothing new.
            known = await self._lane.known(draft) if say.message_id is not None else None
            if known is None:
                raise
            return self._turns.receipt(connection, draft, known)
        receipt = await self._turns.admit(connection, draft)
        if receipt.duplicate:
            # No new message: it costs what a question costs.
            await self._limiter.refund(key)
            try:
                await self.charge(connection)
            except RateLimited:
                receipt.begin()
                raise
        self._sessions.touch(session)
        return receipt

    def _check(self, say: Say) -> None:
        if len(say.text) > self._rules.max_chars:
            raise PayloadTooLarge(
                f"text has {len(say.text)} characters, {self._rules.max_chars} are allowed"
            )
        if not say.text.strip():
            raise ValidationError("text is empty", faults=[("text", "is empty")])
        if say.model not in {None, self._model.model}:
            fault = f"is not to be had here: {self._model.model} is"
            raise ValidationError(f"model {fault}", faults=[("model", fault)])

    async def _take(self, connection: Connection, what: str, limit: int, window_ms: int) -> str:
        key = f"{what}:{connection.user_id}"
        verdict = await self._limiter.take(key, limit, window_ms)
        if not verdict.allowed:
            connection.outlet.tell(
                Limited(limit, verdict.remaining, verdict.reset_at, verdict.retry_after)
            )
            raise RateLimited(
                f"{limit} {what} each {window_ms / 1000:g} s are allowed",
                retry_after=verdict.retry_after,
            )
        if verdict.remaining in {limit // 5, limit // 10, 0}:
            connection.outlet.tell(Limited(limit, verdict.remaining, verdict.reset_at))
        return key

    async def _present(self, connection: Connection) -> Session:
        """The connection's session; a new one where it has ended."""
        session = connection.session
        if session is not None and self._sessions.lives(session):
            return session
        if session is not None:
            connection.outlet.tell(SessionOver(session.id, session.why))
            self._exit(connection)
        session = await self._sessions.create(connection.user_id)
        self._enter(connection, session)
        connection.outlet.tell(SessionCreated(session.id, session.expires_at))
        return session

    def _living(self, connection: Connection) -> Session:
        if connection.session is None or not self._sessions.lives(connection.session):
            raise SessionExpired("the session has ended: the next message opens a new one")
        return connection.session

    async def history(
        self, connection: Connection, limit: int, before: str | None
    ) -> list[Message]:
        """The newest messages of the session, oldest first. Raises ``ValidationError``."""
        session = self._living(connection)
        messages = await self._history.read(session.id, limit, before)
        if messages is None:
            fault = "no message of this session"
            raise ValidationError(f"before is {fault}", faults=[("before", f"is {fault}")])
        return messages

    async def info(self, connection: Connection) -> Info:
        """The session and what goes on in it. Raises ``SessionExpired``."""
        session = self._living(connection)
        return Info(
            session_id=session.id,
            message_count=await self._history.count(session.id),
            created_at=session.created_at,
            last_activity_at=session.last_active_at,
            expires_at=session.expires_at,
            active=await self._turns.active(session.id),
        )

    async def resume(self, connection: Connection, turn_id: str, after: int) -> Resumed:
        """Goes on with a turn behind number ``after``. Raises ``TurnNotFound``."""
        self._living(connection)
        return await self._turns.resume(connection, turn_id, after)

    async def cancel(self, connection: Connection, turn_id: str | None) -> tuple[str, str]:
        """Ends a turn; returns its id and final status. Raises ``TurnNotFound``."""
        return await self._turns.cancel(self._living(connection).id, turn_id)

    async def end(self, connection: Connection) -> SessionRow:
        """Ends the session for all its devices, and what runs in it."""
        session = self._living(connection)
        # First, so that nothing more is said in it while what runs is cancelled.
        row = await self._sessions.end(session)
        try:
            await self._turns.end(session.id)
        finally:
            for other in self._registry.of(session.id):
                if other is not connection:
                    other.outlet.tell(SessionOver(session.id, "ended"))
                self._exit(other)
        return row

    # ---- what happens by itself

    async def drain(self, seconds: float) -> None:
        """Lets nobody in, asks all to go elsewhere, gives running turns ``seconds`` to end."""
        self.draining = True
        for connection in list(self._registry.all):
            spread = random.randrange(self._rules.spread_ms + 1)  # noqa: S311 - no secret
            connection.outlet.tell(Draining(spread))
        await self._journal.drain(seconds)

    def _revoked(self, family_id: str) -> None:
        for connection in self._registry.family(family_id):
            connection.outlet.close(Unauthenticated("these tokens were revoked: log in again"))

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            try:
                over = await self._sessions.sweep()
            except Exception as error:  # noqa: BLE001 - the next one may succeed
                log.warning("sweep_failed", error=type(error).__name__)
                continue
            for session in over:
                for connection in self._registry.of(session.id):
                    connection.outlet.tell(SessionOver(session.id, session.why))
                    self._exit(connection)

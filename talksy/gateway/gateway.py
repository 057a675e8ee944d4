"""The door: authenticate, limit, admit; start turns and hand out readers.

It knows no transport: a connection is an identity, a session and an outlet.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial

import structlog

from talksy.ai.llm import LanguageModel
from talksy.auth import Auth, Identity
from talksy.conversation import Course
from talksy.database.history import History
from talksy.database.lane import Draft, Lane
from talksy.database.rows import SessionRow, TurnRow
from talksy.errors import (
    Forbidden,
    PayloadTooLarge,
    ProviderUnavailable,
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
    Decision,
    Draining,
    Fault,
    SessionCreated,
    SessionOver,
    SessionRestored,
)
from talksy.gateway.budgets import Budgets
from talksy.gateway.calls import ClientCalls
from talksy.gateway.connection import Connection, Outlet
from talksy.gateway.expiry import Expiry
from talksy.gateway.hands import Workshop
from talksy.gateway.news import News
from talksy.gateway.registry import Caps, Registry
from talksy.gateway.requests import (
    Call,
    Called,
    Hello,
    Info,
    Listening,
    Receipt,
    Resumed,
    Rules,
    Say,
    Verdict,
    VoiceStart,
)
from talksy.gateway.turns import Turns
from talksy.gateway.voice import Profiles, Voices
from talksy.ids import new_id
from talksy.journal import Again, Journal
from talksy.messages import Message
from talksy.metrics import Metrics
from talksy.ratelimit import Limiter
from talksy.sessions import Session, Sessions
from talksy.state import Slots
from talksy.tools import ToolDefinition
from talksy.voice import Engines

log = structlog.get_logger(__name__)

SWEEP_SECONDS = 1.0


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
        workshop: Workshop,
        model: LanguageModel,
        others: Mapping[str, LanguageModel] | None = None,
        clock: Callable[[], int],
        rules: Rules | None = None,
        caps: Caps | None = None,
        metrics: Metrics | None = None,
        news: News | None = None,
        engines: Engines | None = None,
        profiles: Profiles | None = None,
        slots: Slots | None = None,
    ) -> None:
        self._auth = auth
        self.tool_ms = workshop.toolbox.usual_ms
        """How long a call of a tool may take that does not say itself."""
        self._sessions = sessions
        self._lane = lane
        self._history = history
        self._journal = journal
        self._names = dict.fromkeys([model.model, *(others or {})])
        """The models that a message may ask for, the usual one first."""
        self._rules = rules or Rules()
        self._clock = clock
        self._metrics = metrics or Metrics()
        self._registry = Registry(caps or Caps())
        self._budgets = Budgets(limiter, self._rules)
        self._expiry = Expiry(auth, self._registry, clock)
        self._news = news or News(None, node=lane.owner)
        self._turns = Turns(
            lane=lane,
            history=history,
            journal=journal,
            registry=self._registry,
            model=model,
            others=others or {},
            rules=self._rules,
            clock=clock,
            news=self._news,
            workshop=workshop,
        )
        self._calls = ClientCalls(
            workshop, turns=self._turns, registry=self._registry, news=self._news
        )
        self._voices = (
            Voices(
                engines,
                say=self._said,
                charge=partial(self._budgets.take, scope="messages"),
                halt=journal.halt,
                profiles=profiles,
                slots=slots,
                metrics=self._metrics,
            )
            if engines is not None
            else None
        )
        self._doubts = asyncio.Event()
        """Another node said that a session is over."""
        self.draining = False
        """Whether it lets nobody in any more."""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Goes on with what a dead process left, then keeps the door until it is closed."""
        self._auth.on_revoked(self._revoked)
        self._news.on("revoked", self._revoked_elsewhere)
        self._news.on("over", self._said_over)
        self._news.sweep(self._sessions.look)
        self._news.sweep(self._look)
        await self._sessions.start()
        async with (
            self._journal.open(self._compose, self._turns.announce, self._turns.strand),
            self._news.open(),
        ):
            tasks = [
                asyncio.create_task(self._sweep(), name="sessions"),
                asyncio.create_task(self._expiry.run(), name="expiry"),
            ]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                await self._calls.drain(0)
                if self._voices is not None:
                    await self._voices.close()
                await self._turns.close()
                await self._leave()

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._registry.all)

    def members(self, room: str) -> Sequence[Connection]:
        """Who is connected here of ``user:<id>``, ``session:<id>`` or ``family:<id>``, a login."""
        kind, _, name = room.partition(":")
        registry = self._registry
        by = {"user": registry.user, "session": registry.of, "family": registry.family}
        return by[kind](name) if kind in by else ()

    @property
    def guests(self) -> int:
        """How many of them are guests."""
        return sum(connection.identity.guest for connection in self._registry.all)

    @property
    def sessions(self) -> int:
        """How many sessions live here."""
        return len(self._sessions)

    @property
    def waiting(self) -> int:
        """How many messages of this node wait for their turn."""
        return self._turns.waiting

    @property
    def untold(self) -> int:
        """How many words for other nodes could not be said: these find the rows."""
        return self._news.dropped

    # ---- coming and going

    async def connect(self, hello: Hello, address: str, outlet: Outlet) -> Connection:
        """Lets a client in, or raises why not. ``welcome`` follows once it knows that it is in.

        Raises ``ServerDraining``, ``Unauthenticated``, ``TokenExpired``, ``RateLimited`` or
        ``SessionLimit``.
        """
        with self._metrics.attempt("connect"):
            return await self._connect(hello, address, outlet)

    async def _connect(self, hello: Hello, address: str, outlet: Outlet) -> Connection:
        if self.draining:
            raise ServerDraining
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

    def leave(self, connection: Connection) -> None:
        """The client has gone. Its turns go on."""
        connection.close()
        if self._voices is not None:
            self._voices.leave(connection)
        self._turns.forget(connection)
        self._exit(connection)
        self._registry.release(connection)

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

    def _enter(self, connection: Connection, session: Session) -> None:
        if connection.closed:
            self._sessions.part(session)  # it has gone meanwhile
            return
        connection.session = session
        connection.turns = 0
        self._registry.enter(connection)

    def _exit(self, connection: Connection) -> None:
        if connection.session is not None:
            self._registry.exit(connection)
            self._sessions.part(connection.session)
            connection.session = None

    # ---- what clients ask for

    async def renew(self, connection: Connection, token: str) -> int:
        """Goes on under another token of the same user; returns when that runs out, in
        milliseconds since the epoch.

        Raises ``Unauthenticated``, ``TokenExpired``, or ``Forbidden`` where it is another user's.
        """
        with self._metrics.attempt("renew"):
            identity = await self._auth.verify(token, guests=True)
            if identity.user_id != connection.user_id:
                raise Forbidden("this token is another user's: open a connection with it")
        self._registry.renew(connection, identity)
        self._expiry.renewed(connection)
        return identity.expires_at

    async def charge(self, connection: Connection) -> None:
        """Counts a request that is not a message. Raises ``RateLimited``."""
        await self._budgets.take(connection, "reads")
        session = connection.session
        if session is not None and await self._sessions.lives(session):
            self._sessions.touch(session)

    async def say(self, connection: Connection, say: Say) -> Receipt:
        """Stores a message that asks for an answer. ``begin`` of the receipt must be called.

        Raises ``ValidationError``, ``PayloadTooLarge``, ``RateLimited``, ``ServerDraining``,
        ``IdempotencyConflict``, ``TurnInProgress``, ``TurnQueueFull``, ``SessionLimit`` or
        ``Overloaded``.
        """
        try:
            self._check(connection, say)
        except TalksyError:
            await self.charge(connection)
            raise
        if self.draining:
            raise ServerDraining
        return await self._said(connection, await self._present(connection), say)

    async def _said(self, connection: Connection, session: Session, say: Say) -> Receipt:
        draft = Draft(
            session_id=session.id,
            message_id=say.message_id or new_id("msg"),
            text=say.text,
            streamed=say.streamed,
            on_busy=say.on_busy,
            retry=say.retry,
            model=say.model,
            scope=connection.identity.scope,
        )
        try:
            await self._budgets.take(connection, "messages")
        except RateLimited:
            # What was accepted before is said again even to those who may say nothing new.
            known = await self._lane.known(draft) if say.message_id is not None else None
            if known is None:
                raise
            return self._turns.receipt(connection, draft, known)
        if say.speak:
            self._voice.expect(connection, draft.turn_id)
        try:
            receipt = await self._turns.admit(connection, draft)
        except BaseException:
            self._unexpected(say, draft)
            raise
        if receipt.duplicate:
            self._unexpected(say, draft)
            # No new message: it costs what a question costs.
            await self._budgets.refund(connection, "messages")
            try:
                await self.charge(connection)
            except RateLimited:
                receipt.begin()
                raise
        self._sessions.touch(session)
        return receipt

    def _unexpected(self, say: Say, draft: Draft) -> None:
        """There is nothing new to be spoken."""
        if say.speak:
            self._voice.forget(draft.turn_id)

    def _check(self, connection: Connection, say: Say) -> None:
        if say.speak and not self._voice.speaks_to(connection):
            raise ValidationError("speak needs a voice session: send voice_start first")
        if len(say.text) > self._rules.max_chars:
            raise PayloadTooLarge(
                f"text has {len(say.text)} characters, {self._rules.max_chars} are allowed"
            )
        if fault := _text_fault(say.text):
            raise ValidationError(f"text {fault}", faults=[("text", fault)])
        if say.model is not None and say.model not in self._names:
            fault = f"is not one of {', '.join(self._names)}"
            raise ValidationError(f"model {fault}", faults=[("model", fault)])

    async def _present(self, connection: Connection) -> Session:
        """The connection's session; a new one where it has ended."""
        session = connection.session
        if session is not None and await self._sessions.lives(session):
            return session
        if session is not None:
            connection.outlet.tell(SessionOver(session.id, session.why))
            self._exit(connection)
        session = await self._sessions.create(connection.user_id)
        self._enter(connection, session)
        connection.outlet.tell(SessionCreated(session.id, session.expires_at))
        return session

    async def _living(self, connection: Connection) -> Session:
        session = connection.session
        if session is None or not await self._sessions.lives(session):
            raise SessionExpired("the session has ended: the next message opens a new one")
        return session

    # ---- voice

    async def voice_start(self, connection: Connection, ask: VoiceStart) -> Listening:
        """Listens to a microphone from here on, as asked; one that is listened to goes on so.

        Raises ``ValidationError``, ``MicBusy``, ``SessionLimit``, ``ServerDraining``,
        ``Overloaded`` or ``ProviderUnavailable``.
        """
        if self.draining:
            raise ServerDraining
        session = await self._present(connection)
        self._sessions.touch(session)
        return await self._voice.start(connection, session, ask)

    def hear(self, connection: Connection, pcm: bytes) -> None:
        """Takes the next piece of sound, at once. Raises ``ValidationError`` or ``RateLimited``."""
        self._voice.hear(connection, pcm)
        if connection.session is not None:
            self._sessions.touch(connection.session)

    def played(self, connection: Connection, turn_id: str, ms: float) -> None:
        """The client has played so much of an answer. Raises ``ValidationError``."""
        self._voice.played(connection, turn_id, ms)

    async def voice_stop(self, connection: Connection) -> None:
        """Listens no more: what was being said is understood first. Raises ``ValidationError``."""
        await self._voice.stop(connection)

    @property
    def _voice(self) -> Voices:
        if self._voices is None:
            raise ProviderUnavailable("this server has no ears and no mouth")
        return self._voices

    async def _compose(self, row: TurnRow, again: Again | None) -> Course:
        turn = await self._turns.compose(row, again)
        return turn if self._voices is None else self._voices.wrap(row, turn)

    async def history(
        self, connection: Connection, limit: int, before: str | None
    ) -> list[Message]:
        """The newest messages of the session, oldest first. Raises ``ValidationError``."""
        session = await self._living(connection)
        messages = await self._history.read(session.id, limit, before)
        if messages is None:
            fault = "no message of this session"
            raise ValidationError(f"before is {fault}", faults=[("before", f"is {fault}")])
        return messages

    async def info(self, connection: Connection) -> Info:
        """The session and what goes on in it. Raises ``SessionExpired``."""
        session = await self._living(connection)
        await self._sessions.refresh(session)
        return Info(
            session_id=session.id,
            message_count=await self._history.count(session.id),
            created_at=session.created_at,
            last_activity_at=session.last_active_at,
            expires_at=session.expires_at,
            active=await self._turns.active(session.id),
        )

    # ---- tools

    def tools(self, connection: Connection, category: str | None) -> list[ToolDefinition]:
        """The tools that may be used, by name; those of one category or all."""
        return self._calls.offered(connection.identity, category)

    def tool(self, connection: Connection, name: str) -> ToolDefinition:
        """One of them. Raises ``ToolNotFound``, ``ToolDenied`` or ``Forbidden``."""
        return self._calls.find(connection.identity, name)

    async def call(self, connection: Connection, call: Call) -> Called:
        """Makes a call, or has a person asked first. ``begin`` of what it returns must be called.

        Raises ``ToolNotFound``, ``ToolDenied``, ``Forbidden``, ``PayloadTooLarge``,
        ``ValidationError``, ``ToolBusy``, ``IdempotencyConflict``, ``SessionExpired``,
        ``RateLimited``, ``ServerDraining`` or ``Overloaded``.
        """
        try:
            tool, arguments = self._calls.check(connection.identity, call)
            session = await self._living(connection)
        except TalksyError:
            await self.charge(connection)
            raise
        if self.draining:
            raise ServerDraining
        await self._budgets.take(connection, "messages")
        self._sessions.touch(session)
        return await self._calls.start(connection, session.id, tool, arguments, call.call_id)

    async def decide(self, connection: Connection, call_id: str, decision: Decision) -> Verdict:
        """Decides about a call that waits for a person. ``begin`` of what it returns must be
        called.

        Raises ``NotFound``, ``ApprovalExpired``, ``SessionExpired`` or ``Overloaded``.
        """
        session = await self._living(connection)
        return await self._calls.decide(connection, session.id, call_id, decision)

    # ---- turns and sessions

    async def resume(self, connection: Connection, turn_id: str, after: int) -> Resumed:
        """Goes on with a turn behind number ``after``. Raises ``TurnNotFound``."""
        await self._living(connection)
        return await self._turns.resume(connection, turn_id, after)

    async def cancel(self, connection: Connection, turn_id: str | None) -> tuple[str, str]:
        """Ends a turn; returns its id and final status. Raises ``TurnNotFound``."""
        return await self._turns.cancel((await self._living(connection)).id, turn_id)

    async def end(self, connection: Connection) -> SessionRow:
        """Ends the session for all its devices, and what runs in it."""
        session = await self._living(connection)
        # First, so that nothing more is said in it while what runs is cancelled.
        row = await self._sessions.end(session)
        self._news.tell("over", session.id)
        stopped = self._calls.stop(session.id, SessionExpired())
        try:
            await self._turns.end(session.id)
            await asyncio.gather(*stopped, return_exceptions=True)
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
        await asyncio.gather(self._journal.drain(seconds), self._calls.drain(seconds))

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

    def _said_over(self, session_id: str) -> None:
        if self._sessions.doubt(session_id):
            self._doubts.set()

    async def _sweep(self) -> None:
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
                        self._exit(connection)

    async def _leave(self) -> None:
        try:
            await self._sessions.close()
        except Exception as error:  # noqa: BLE001 - others give them their grace
            log.warning("sessions_not_left", error=type(error).__name__)


def _text_fault(text: str) -> str | None:
    """What keeps a text from being stored and sent, if anything."""
    if not text.strip():
        return "is empty"
    if "\0" in text:
        return "has a NUL character"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "has half of a surrogate pair"
    return None

"""The door: authenticate, limit, admit; start turns and hand out readers.

It knows no transport: a connection is an identity, a session and an outlet.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial

from talksy.ai.llm import LanguageModel
from talksy.auth import Auth
from talksy.conversation import Course
from talksy.database.history import History
from talksy.database.lane import Lane
from talksy.database.rows import SessionRow, TurnRow
from talksy.errors import (
    ProviderUnavailable,
    ServerDraining,
    SessionExpired,
    TalksyError,
    ValidationError,
)
from talksy.events import Decision, Draining, SessionOver
from talksy.gateway.budgets import Budgets
from talksy.gateway.calls import ClientCalls
from talksy.gateway.connection import Connection, Outlet
from talksy.gateway.expiry import Expiry
from talksy.gateway.hands import Workshop
from talksy.gateway.news import News
from talksy.gateway.presence import Presence
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
from talksy.gateway.rounds import Rounds
from talksy.gateway.saying import Saying
from talksy.gateway.turns import Turns
from talksy.gateway.voice import Profiles, Voices
from talksy.journal import Again, Journal
from talksy.messages import Message
from talksy.metrics import Metrics
from talksy.ratelimit import Limiter
from talksy.sessions import Session, Sessions
from talksy.state import Slots
from talksy.tools import ToolDefinition
from talksy.voice import Engines


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
        self.tool_ms = workshop.toolbox.usual_ms
        """How long a call of a tool may take that does not say itself."""
        self._sessions = sessions
        self._history = history
        self._journal = journal
        self._rules = rules or Rules()
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
        self._presence = Presence(
            auth=auth,
            sessions=sessions,
            registry=self._registry,
            budgets=self._budgets,
            expiry=self._expiry,
            turns=self._turns,
            calls=self._calls,
            clock=clock,
            metrics=self._metrics,
            over=self._hang_up,
        )
        self._rounds = Rounds(
            auth=auth,
            sessions=sessions,
            registry=self._registry,
            presence=self._presence,
            calls=self._calls,
            news=self._news,
        )
        self._saying = Saying(
            lane=lane,
            turns=self._turns,
            presence=self._presence,
            sessions=sessions,
            budgets=self._budgets,
            models=dict.fromkeys([model.model, *(others or {})]),
            rules=self._rules,
            voices=lambda: self._voice,
            draining=lambda: self.draining,
        )
        self._voices = (
            Voices(
                engines,
                say=self._saying.heard,
                charge=partial(self._budgets.take, scope="messages"),
                halt=journal.halt,
                profiles=profiles,
                slots=slots,
                metrics=self._metrics,
            )
            if engines is not None
            else None
        )
        self.draining = False
        """Whether it lets nobody in any more."""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Goes on with what a dead process left, then keeps the door until it is closed."""
        await self._sessions.start()
        async with (
            self._journal.open(self._compose, self._turns.announce, self._turns.strand),
            self._news.open(),
        ):
            tasks = [
                asyncio.create_task(self._rounds.run(), name="sessions"),
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
                await self._presence.close()

    async def _compose(self, row: TurnRow, again: Again | None) -> Course:
        turn = await self._turns.compose(row, again)
        return turn if self._voices is None else self._voices.wrap(row, turn)

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
            if self.draining:
                raise ServerDraining
            return await self._presence.connect(hello, address, outlet)

    async def welcome(self, connection: Connection, hello: Hello) -> None:
        """Tells the client its session, then what it missed."""
        await self._presence.welcome(connection, hello)

    def leave(self, connection: Connection) -> None:
        """The client has gone. Its turns go on."""
        connection.close()
        if self._voices is not None:
            self._voices.leave(connection)
        self._turns.forget(connection)
        self._presence.leave(connection)

    def _hang_up(self, connection: Connection, session: Session) -> None:
        if self._voices is not None:
            self._voices.hang_up(connection, session)

    # ---- what clients ask for

    async def renew(self, connection: Connection, token: str) -> int:
        """Goes on under another token of the same user; returns when that runs out, in
        milliseconds since the epoch.

        Raises ``Unauthenticated``, ``TokenExpired``, or ``Forbidden`` where it is another user's.
        """
        return await self._presence.renew(connection, token)

    async def charge(self, connection: Connection) -> None:
        """Counts a request that is not a message. Raises ``RateLimited``."""
        await self._presence.charge(connection)

    async def say(self, connection: Connection, say: Say) -> Receipt:
        """Stores a message that asks for an answer. ``begin`` of the receipt must be called.

        Raises ``ValidationError``, ``PayloadTooLarge``, ``RateLimited``, ``ServerDraining``,
        ``IdempotencyConflict``, ``TurnInProgress``, ``TurnQueueFull``, ``SessionLimit`` or
        ``Overloaded``.
        """
        try:
            self._saying.check(connection, say)
        except TalksyError:
            await self.charge(connection)
            raise
        return await self._saying.say(connection, say)

    async def history(
        self, connection: Connection, limit: int, before: str | None
    ) -> list[Message]:
        """The newest messages of the session, oldest first. Raises ``ValidationError``."""
        session = await self._presence.living(connection)
        messages = await self._history.read(session.id, limit, before)
        if messages is None:
            fault = "no message of this session"
            raise ValidationError(f"before is {fault}", faults=[("before", f"is {fault}")])
        return messages

    async def info(self, connection: Connection) -> Info:
        """The session and what goes on in it. Raises ``SessionExpired``."""
        session = await self._presence.living(connection)
        await self._sessions.refresh(session)
        return Info(
            session_id=session.id,
            message_count=await self._history.count(session.id),
            created_at=session.created_at,
            last_activity_at=session.last_active_at,
            expires_at=session.expires_at,
            active=await self._turns.active(session.id),
        )

    # ---- voice

    async def voice_start(self, connection: Connection, ask: VoiceStart) -> Listening:
        """Listens to a microphone from here on, as asked; one that is listened to goes on so.

        Raises ``ValidationError``, ``MicBusy``, ``SessionLimit``, ``ServerDraining``,
        ``Overloaded`` or ``ProviderUnavailable``.
        """
        if self.draining:
            raise ServerDraining
        session = await self._presence.present(connection)
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
            session = await self._presence.living(connection)
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
        session = await self._presence.living(connection)
        return await self._calls.decide(connection, session.id, call_id, decision)

    # ---- turns and sessions

    async def resume(self, connection: Connection, turn_id: str, after: int) -> Resumed:
        """Goes on with a turn behind number ``after``. Raises ``TurnNotFound``."""
        await self._presence.living(connection)
        return await self._turns.resume(connection, turn_id, after)

    async def cancel(self, connection: Connection, turn_id: str | None) -> tuple[str, str]:
        """Ends a turn; returns its id and final status. Raises ``TurnNotFound``."""
        return await self._turns.cancel((await self._presence.living(connection)).id, turn_id)

    async def end(self, connection: Connection) -> SessionRow:
        """Ends the session for all its devices, and what runs in it."""
        session = await self._presence.living(connection)
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
                self._presence.exit(other)
        return row

    # ---- the end

    async def drain(self, seconds: float) -> None:
        """Lets nobody in, asks all to go elsewhere, gives running turns ``seconds`` to end."""
        self.draining = True
        for connection in list(self._registry.all):
            spread = random.randrange(self._rules.spread_ms + 1)  # noqa: S311 - no secret
            connection.outlet.tell(Draining(spread))
        await asyncio.gather(self._journal.drain(seconds), self._calls.drain(seconds))

"""Sessions that live, and those that come back.

A session lives ``idle_ms`` from its last activity, ``grace_ms`` after its last socket has gone, and
``age_ms`` in all. Its history outlives it, and its owner may reopen it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

from talksy.database.rows import SessionRow
from talksy.database.sessions import SessionRows
from talksy.errors import Overloaded, SessionExpired, SessionLimit, SessionNotFound
from talksy.ids import new_id

LINE_SECONDS = 2.0
"""How long who comes in waits for those before."""


@dataclass(frozen=True, slots=True)
class Life:
    """How long sessions live, in milliseconds, and how many there may be."""

    idle_ms: int = 900_000
    grace_ms: int = 300_000
    age_ms: int = 86_400_000
    per_user: int = 20
    per_node: int = 10_000


class Session:
    """A session as this node knows it; times in milliseconds since the epoch."""

    __slots__ = (
        "_life",
        "changed",
        "created_at",
        "id",
        "joined",
        "last_active_at",
        "left_at",
        "opened_at",
        "sockets",
        "user_id",
    )

    def __init__(self, row: SessionRow, life: Life) -> None:
        self.id = row.id
        self.user_id = row.user_id
        self.created_at = row.created_at
        self.opened_at = row.opened_at
        self.last_active_at = row.last_active_at
        self.left_at: int | None = row.expires_at - life.grace_ms
        """When its last socket went; None while it has one."""
        self.sockets = 0
        self.joined = False
        """It has had a socket."""
        self.changed = False
        """The row does not have the last activity yet."""
        self._life = life

    @property
    def expires_at(self) -> int:
        """When it ends, if nothing more happens."""
        life = self._life
        ends = min(self.opened_at + life.age_ms, self.last_active_at + life.idle_ms)
        return ends if self.left_at is None else min(ends, self.left_at + life.grace_ms)

    @property
    def why(self) -> Literal["idle", "age"]:
        """What ends it."""
        aged = self.opened_at + self._life.age_ms
        return "age" if self.expires_at == aged else "idle"


class Sessions:
    """The sessions of one node. Ended ones are forgotten here and kept in the database."""

    def __init__(self, rows: SessionRows, life: Life, clock: Callable[[], int]) -> None:
        self._rows = rows
        self._life = life
        self._clock = clock
        self._live: dict[str, Session] = {}
        # What was read or counted still holds when it is written.
        self._coming = asyncio.Lock()

    def __len__(self) -> int:
        return len(self._live)

    async def start(self) -> None:
        """Gives the sessions of a process that died their grace: their sockets are gone."""
        await self._rows.orphan(self._clock() + self._life.grace_ms)

    async def create(self, user_id: str) -> Session:
        """A new session. Raises ``SessionLimit``."""
        async with self._alone():
            now = self._clock()
            await self._check_room(user_id, now)
            row = SessionRow(
                id=new_id("ses"),
                user_id=user_id,
                created_at=now,
                opened_at=now,
                last_active_at=now,
                expires_at=min(now + self._life.idle_ms, now + self._life.grace_ms),
                ended_at=None,
                duration_seconds=0,
            )
            await self._rows.add(row, most=self._life.per_user)
            return self._enter(row)

    async def restore(self, user_id: str, session_id: str, *, reopen: bool = False) -> Session:
        """The user's session; with ``reopen`` also one that has ended.

        Raises ``SessionNotFound``, also for somebody else's, ``SessionExpired`` and, where one is
        reopened, ``SessionLimit``.
        """
        live = self._live.get(session_id)
        if live is not None and live.user_id == user_id and live.expires_at > self._clock():
            return live
        async with self._alone():
            return await self._restore(user_id, session_id, reopen=reopen)

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """One comes in or ends at a time; who waits too long, for a database say, is told so."""
        try:
            async with asyncio.timeout(LINE_SECONDS):
                await self._coming.acquire()
        except TimeoutError:
            raise Overloaded(retry_after=1) from None
        try:
            yield
        finally:
            self._coming.release()

    async def _restore(self, user_id: str, session_id: str, *, reopen: bool) -> Session:
        now = self._clock()
        row = await self._rows.find(session_id)
        if row is None or row.user_id != user_id:
            raise SessionNotFound
        live = self._live.get(session_id)
        if live is not None:
            if live.expires_at > now:
                return live
        elif row.ended_at is None and row.expires_at > now:
            return self._enter(row)
        if not reopen:
            raise SessionExpired
        await self._check_room(user_id, now)
        await self._rows.end(session_id, live.expires_at if live else row.expires_at)
        reopened = await self._rows.reopen(
            session_id,
            user_id,
            now,
            now + min(self._life.idle_ms, self._life.grace_ms),
            most=self._life.per_user,
        )
        if reopened is None:
            raise SessionNotFound
        self._live.pop(session_id, None)
        return self._enter(reopened)

    def _enter(self, row: SessionRow) -> Session:
        # Two devices may come back at once: they share the session that was first.
        return self._live.setdefault(row.id, Session(row, self._life))

    async def _check_room(self, user_id: str, now: int) -> None:
        count = await self._rows.count(now, user_id)
        if count >= self._life.per_user and not await self._spare(user_id, now):
            raise SessionLimit(
                f"this account has {self._life.per_user} live sessions: "
                "end one, or come back to one with its sessionId"
            )
        if await self._rows.count(now) >= self._life.per_node:
            raise SessionLimit("this server has as many sessions as it may: try again later")

    async def _spare(self, user_id: str, now: int) -> bool:
        """Ends a session of the user's that nobody is in and nothing was said in.

        A page that is loaded again and again leaves one behind each time.
        """
        for session_id in await self._rows.empty(now, user_id):
            live = self._live.get(session_id)
            if live is None or (live.sockets == 0 and live.joined):
                self._live.pop(session_id, None)
                await self._rows.end(session_id, now)
                return True
        return False

    def touch(self, session: Session) -> None:
        """Something was done in the session."""
        session.last_active_at = self._clock()
        session.changed = True

    def join(self, session: Session) -> None:
        """A socket has come."""
        session.sockets += 1
        session.joined = True
        session.left_at = None
        self.touch(session)

    def part(self, session: Session) -> None:
        """A socket has gone."""
        session.sockets -= 1
        if session.sockets == 0:
            session.left_at = self._clock()
            session.changed = True

    def lives(self, session: Session) -> bool:
        """Whether the session goes on."""
        return self._live.get(session.id) is session and session.expires_at > self._clock()

    async def end(self, session: Session) -> SessionRow:
        """Ends the session now. Raises ``SessionNotFound``."""
        self._live.pop(session.id, None)
        async with self._alone():
            row = await self._rows.end(session.id, self._clock())
        if row is None:
            raise SessionNotFound
        return row

    async def sweep(self) -> list[Session]:
        """Stores the latest activity and ends the sessions whose time has run out.

        Returns those of them that were known here.
        """
        now = self._clock()
        changed = [session for session in self._live.values() if session.changed]
        for session in changed:
            session.changed = False
        try:
            await self._rows.touch(
                [(session.id, session.last_active_at, session.expires_at) for session in changed]
            )
        except Exception:
            for session in changed:
                session.changed = True
            raise
        over = []
        for session_id in await self._rows.expired(now):
            live = self._live.get(session_id)
            if live is not None and live.expires_at > now:
                continue  # something was done in it meanwhile
            ended = await self._rows.expire(session_id, now)
            if ended and live is not None and self._live.pop(session_id, None) is not None:
                over.append(live)
        return over

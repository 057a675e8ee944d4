"""Sessions that live, and those that come back.

A session lives ``idle_ms`` from its last activity, ``grace_ms`` after its last socket has gone, and
``age_ms`` in all, on whichever nodes that is. Its history outlives it, and its owner may reopen it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeVar

import structlog

from talksy.database.ferry import Failed, Ferry
from talksy.database.rows import SessionRow
from talksy.database.sessions import LAG_MS, Mark, SessionRows
from talksy.errors import Overloaded, SessionExpired, SessionLimit, SessionNotFound
from talksy.ids import new_id

A = TypeVar("A")
G = TypeVar("G")

log = structlog.get_logger(__name__)

LINE_SECONDS = 2.0
"""How long who comes in waits for those before."""
TOGETHER = 200
"""So many are let in, stored or ended by one transaction."""
PAUSE_SECONDS = 0.02
"""In a crowd so long passes from one such transaction to the next: each costs a commit."""
NODE_FULL = "this server has as many sessions as it may: try again later"
BEHIND_MS = 1_000
"""So much later than its row says a session may end: as long as a sweep leaves it so."""
SETTLED_MS = 60_000
"""Clocks of nodes are no further apart, and no transaction takes longer."""


@dataclass(frozen=True, slots=True)
class Life:
    """How long sessions live, in milliseconds, and how many there may be."""

    idle_ms: int = 900_000
    grace_ms: int = 300_000
    age_ms: int = 86_400_000
    per_user: int = 20
    per_node: int = 10_000


class Session:
    """A session with sockets on this node; times in milliseconds since the epoch."""

    __slots__ = (
        "_life",
        "changed",
        "created_at",
        "ended",
        "id",
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
        """As far as it is known here."""
        self.left_at: int | None = None
        """When its last socket here went; None while it has one."""
        self.sockets = 0
        self.changed = False
        """The row does not have the last activity, or who is here, yet."""
        self.ended = False
        """Its owner ended it."""
        self._life = life

    @property
    def present_until(self) -> int:
        """When it ends if nothing more happens and somebody stays in it."""
        return min(self.opened_at + self._life.age_ms, self.last_active_at + self._life.idle_ms)

    @property
    def expires_at(self) -> int:
        """When it ends if nothing more happens, as far as it is known here."""
        if self.left_at is None:
            return self.present_until
        return min(self.present_until, self.left_at + self._life.grace_ms)

    @property
    def why(self) -> Literal["idle", "age", "ended"]:
        """What ends it."""
        if self.ended:
            return "ended"
        aged = self.opened_at + self._life.age_ms
        return "age" if self.expires_at == aged else "idle"

    def learn(self, row: SessionRow) -> None:
        """Takes over what was done in it on other nodes."""
        self.opened_at = max(self.opened_at, row.opened_at)
        self.last_active_at = max(self.last_active_at, row.last_active_at)


@dataclass(frozen=True, slots=True)
class _Arrival:
    """Who comes back, and to which session."""

    user_id: str
    session_id: str


class Sessions:
    """The sessions in which somebody is on this node, among those of all nodes in the database.

    Who creates or restores one is in it, and must ``part``.
    """

    def __init__(
        self, rows: SessionRows, life: Life, clock: Callable[[], int], *, others: bool = True
    ) -> None:
        """Without ``others`` there is no node but this one."""
        self._rows = rows
        self._others = others
        self._life = life
        self._clock = clock
        self._live: dict[str, Session] = {}
        self._stored: set[str] = set()
        """Those of which the rows say that somebody is in them here."""
        self._entering: set[str] = set()
        """Those that were stored and nobody was let in to yet."""
        self._doubted: set[str] = set()
        """Those that are said to be over."""
        self._over: list[Session] = []
        """Those that are, and nobody was told yet."""
        self._looked_at = clock()
        # What was read or counted still holds when it is written.
        self._coming = asyncio.Lock()
        line = partial(Ferry[Any, Any], most=TOGETHER, seconds=LINE_SECONDS, pause=PAUSE_SECONDS)
        self._new_ones: Ferry[str, Session] = line(self._make, forsaken=self.part)
        self._old_ones: Ferry[_Arrival, Session] = line(self._find, forsaken=self.part)
        self._counts: Ferry[str, int] = line(self._count)
        self._storing = asyncio.Lock()

    def __len__(self) -> int:
        return len(self._live)

    async def start(self) -> None:
        """Gives the sessions of nodes that died their grace: their sockets are gone."""
        await self._rows.orphan(self._clock() + self._life.grace_ms, unknown=True)

    async def create(self, user_id: str) -> Session:
        """A new session, entered. Raises ``SessionLimit``."""
        return await _aboard(self._new_ones, user_id)

    async def restore(self, user_id: str, session_id: str, *, reopen: bool = False) -> Session:
        """The user's session, entered; with ``reopen`` also one that has ended.

        Raises ``SessionNotFound``, also for somebody else's, ``SessionExpired`` and, where one is
        reopened, ``SessionLimit``.
        """
        live = self._live.get(session_id)
        if live is not None and live.user_id == user_id and self._sure(live) and not reopen:
            return self._join(live)
        arrival = _Arrival(user_id, session_id)
        if not reopen:
            return await _aboard(self._old_ones, arrival)
        async with self._alone():
            return self._enter(await self._reopen(arrival))

    def _sure(self, session: Session) -> bool:
        """Whether it goes on for all that is known here."""
        said_over = session.id in self._doubted
        return session.sockets > 0 and session.expires_at > self._clock() and not said_over

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

    async def _find(self, arrivals: Sequence[_Arrival]) -> Sequence[Session | Failed]:
        """The sessions that are asked for, entered, as far as they go on."""
        async with self._coming:
            found = await self._going_on(arrivals)
            return [self._enter(row) if isinstance(row, SessionRow) else row for row in found]

    async def _going_on(self, arrivals: Sequence[_Arrival]) -> Sequence[SessionRow | Failed]:
        ids = {arrival.session_id for arrival in arrivals}
        await self._tell(ids & self._live.keys())  # when the last left, say
        now = self._clock()
        rows = {row.id: row for row in await self._rows.find_all(sorted(ids))}
        found: list[SessionRow | Failed] = []
        for arrival in arrivals:
            row = rows.get(arrival.session_id)
            if row is None or row.user_id != arrival.user_id:
                found.append(Failed(SessionNotFound()))
            elif row.ended_at is None and row.expires_at > now and await self._hold(row, now):
                found.append(row)
            else:
                found.append(Failed(SessionExpired()))
        return found

    async def _make(self, user_ids: Sequence[str]) -> Sequence[Session | Failed]:
        """New sessions, entered, as far as there is room."""
        async with self._coming:
            now = self._clock()
            room = max(0, self._life.per_node - len(self._live))
            rows = [self._new(user_id, now) for user_id in user_ids[:room]]
            kept = self._entering
            try:
                kept.update(await self._add(rows, now))
                for row in rows:
                    if row.id not in kept and await self._spare(row.user_id, now):
                        kept.update(await self._add([row], now))
                made = [
                    self._first(row) if row.id in kept else Failed(self._full()) for row in rows
                ]
            finally:
                kept.clear()
            return made + [Failed(SessionLimit(NODE_FULL)) for _ in user_ids[room:]]

    def _new(self, user_id: str, now: int) -> SessionRow:
        return SessionRow(
            id=new_id("ses"),
            user_id=user_id,
            created_at=now,
            opened_at=now,
            last_active_at=now,
            expires_at=now + min(self._life.idle_ms, self._life.age_ms),
            ended_at=None,
            duration_seconds=0,
        )

    async def _add(self, rows: Sequence[SessionRow], now: int) -> Collection[str]:
        if not rows:
            return ()
        kept = await self._rows.add(rows, now=now, most=self._life.per_user)
        self._stored.update(kept)
        return kept

    def _full(self) -> SessionLimit:
        return SessionLimit(
            f"this account has {self._life.per_user} live sessions: "
            "end one, or come back to one with its sessionId"
        )

    async def _reopen(self, arrival: _Arrival) -> SessionRow:
        """The session as it goes on, or opened again."""
        (found,) = await self._going_on([arrival])
        if isinstance(found, SessionRow):
            return found
        row = await self._rows.find(arrival.session_id)
        if row is None or isinstance(found.error, SessionNotFound):
            raise SessionNotFound
        if len(self._live) >= self._life.per_node:
            raise SessionLimit(NODE_FULL)
        ended, now = await self._rows.end(row.id, row.expires_at), self._clock()
        until = now + min(self._life.idle_ms, self._life.age_ms)
        most = self._life.per_user
        reopened = await self._rows.reopen(row.id, row.user_id, now, until, most=most)
        if reopened is None and await self._spare(row.user_id, now):
            reopened = await self._rows.reopen(row.id, row.user_id, now, until, most=most)
        if reopened is None:
            raise self._full()
        if ended is not None:
            self._judge([ended])
        return reopened

    async def _hold(self, row: SessionRow, now: int) -> bool:
        """Keeps other nodes from ending it before they can know that somebody came back."""
        if row.expires_at > now + LAG_MS or row.id in self._live:
            return True
        return await self._rows.prolong(row.id, now, now + LAG_MS)

    def _enter(self, row: SessionRow) -> Session:
        # Two devices may come back at once: they share the session that was first.
        session = self._live.get(row.id)
        if session is None:
            session = self._live[row.id] = Session(row, self._life)
        session.learn(row)
        return self._join(session)

    def _first(self, row: SessionRow) -> Session:
        """A new session, entered, of which the rows say so already, and for how long."""
        session = self._enter(row)
        session.changed = session.last_active_at > row.last_active_at + BEHIND_MS
        return session

    async def _spare(self, user_id: str, now: int) -> bool:
        """Ends a session of the user's that nobody is in and nothing was said in.

        A page that is loaded again and again leaves one behind each time.
        """
        for session_id in await self._rows.empty(now, user_id):
            live = self._live.get(session_id)
            entering = live is None and session_id in self._stored
            if not entering and (live is None or live.sockets == 0):
                self._live.pop(session_id, None)
                await self._rows.end(session_id, now)
                return True
        return False

    async def sockets_elsewhere(self, user_id: str) -> int:
        """How many sockets the user has on other nodes, as of a second ago."""
        if not self._others:
            return 0
        return await _aboard(self._counts, user_id)

    async def _count(self, user_ids: Sequence[str]) -> Sequence[int | Failed]:
        counts = await self._rows.sockets_elsewhere(user_ids)
        return [counts.get(user_id, 0) for user_id in user_ids]

    def touch(self, session: Session) -> None:
        """Something was done in the session."""
        session.last_active_at = max(session.last_active_at, self._clock())
        session.changed = True

    def _join(self, session: Session) -> Session:
        session.sockets += 1
        session.left_at = None
        self.touch(session)
        return session

    def part(self, session: Session) -> None:
        """A socket has gone."""
        session.sockets -= 1
        session.changed = True
        if session.sockets == 0:
            session.left_at = self._clock()

    async def lives(self, session: Session) -> bool:
        """Whether the session goes on; where it seems over, the row is asked."""
        if self._live.get(session.id) is not session:
            return False
        if session.expires_at > self._clock():
            return True
        await self._review([session.id])
        return self._live.get(session.id) is session and session.expires_at > self._clock()

    async def goes_on(self, session_id: str) -> bool:
        """Whether a session goes on in which nobody may be here any more."""
        now = self._clock()
        if self._goes_on(session_id, now):
            return True
        rows = await self._rows.find_all([session_id])
        return any(row.ended_at is None and row.expires_at > now for row in rows)

    async def refresh(self, session: Session) -> None:
        """Learns what was done in the session on other nodes."""
        await self._review([session.id])

    async def end(self, session: Session) -> SessionRow:
        """Ends the session now. Raises ``SessionNotFound``."""
        self._live.pop(session.id, None)
        try:
            async with self._alone():
                row = await self._rows.end(session.id, self._clock())
        except BaseException:
            self._live.setdefault(session.id, session)
            raise
        if row is None:
            raise SessionNotFound
        return row

    def doubt(self, session_id: str) -> bool:
        """Another node says that the session is over: the next ``sweep`` asks the row.

        Returns whether anybody is in it here.
        """
        if session_id not in self._live:
            return False
        self._doubted.add(session_id)
        return True

    # ---- what happens by itself

    async def sweep(self) -> list[Session]:
        """Stores what was done here and ends the sessions whose time has run out.

        Returns those that are over and in which somebody is here.
        """
        await self._store()
        now = self._clock()
        expired = await self._rows.expired(now)
        for start in range(0, len(expired), TOGETHER):
            over = [key for key in expired[start : start + TOGETHER] if not self._goes_on(key, now)]
            if over:
                await self._rows.expire(over, now)
        doubted = set(self._doubted)
        due = {key for key, session in self._live.items() if session.expires_at <= now}
        if due or doubted:
            await self._review(due | doubted)
        self._doubted -= doubted
        told, self._over = self._over, []
        return told

    def _goes_on(self, session_id: str, now: int) -> bool:
        """Whether something was done in it here that its row does not know yet."""
        live = self._live.get(session_id)
        return live is not None and live.expires_at > now

    async def look(self) -> None:
        """Finds what a word would have told, and what nodes that died left behind.

        What is over is returned by the next ``sweep``.
        """
        now = self._clock()
        await self._rows.orphan(now + self._life.grace_ms)
        if self._stored:
            self._judge(await self._rows.ended(self._looked_at - SETTLED_MS))
        self._looked_at = now
        async with self._storing:
            # Counted before: what is added meanwhile may not be among those that are there.
            stored = len(self._stored)
            held = await self._rows.held()
            if held < stored:
                log.warning("presence_lost", hint="this node was taken for dead")
                for session in self._live.values():
                    session.changed = True
        if held > stored:
            await self._leave_strange()

    async def _leave_strange(self) -> None:
        """Leaves sessions that were entered by a write of which no word came: nobody is in them."""
        async with self._coming, self._storing:
            strange = await self._rows.present() - self._stored - self._live.keys()
            await self._rows.mark((), strange)

    async def close(self) -> None:
        """Leaves all sessions, each with its grace."""
        for session in self._live.values():
            if session.sockets:
                session.sockets = 1
                self.part(session)
        await self._store()

    async def _store(self) -> None:
        """Says to the rows what was done in all of them, a few at a time."""
        async with self._storing:
            gone = self._stored - self._live.keys() - self._entering
            await self._rows.mark((), gone)
            self._stored -= gone
        changed = [session.id for session in self._live.values() if session.changed]
        for start in range(0, len(changed), TOGETHER):
            await self._tell(changed[start : start + TOGETHER])

    async def _tell(self, session_ids: Collection[str]) -> None:
        """Says to the rows what was done in these, as far as they live here."""
        if not session_ids:
            return
        async with self._storing:
            found = [self._live[key] for key in session_ids if key in self._live]
            changed = [session for session in found if session.changed]
            marks = [self._mark(session) for session in changed]
            for session in changed:
                session.changed = False
            try:
                await self._rows.mark(marks)
            except BaseException:
                for session in changed:
                    session.changed = True
                raise
            for mark in marks:
                self._noted(mark)

    def _mark(self, session: Session) -> Mark:
        return Mark(
            session.id,
            session.user_id,
            session.last_active_at,
            session.present_until,
            session.sockets,
            session.expires_at,
        )

    def _noted(self, mark: Mark) -> None:
        """The rows know it now; a session that nobody is in here any more is the rows' alone."""
        if mark.sockets:
            self._stored.add(mark.session_id)
            return
        self._stored.discard(mark.session_id)
        session = self._live.get(mark.session_id)
        if session is not None and session.sockets == 0:
            del self._live[mark.session_id]

    async def _review(self, session_ids: Collection[str]) -> None:
        """Asks the rows of sessions of which it is not sure that they go on."""
        rows = await self._rows.find_all(sorted(session_ids))
        self._judge(rows)
        for row in rows:
            session = self._live.get(row.id)
            if session is not None and row.ended_at is None:
                session.learn(row)
        for session_id in set(session_ids) - {row.id for row in rows}:
            self._drop(session_id, ended=True)

    def _judge(self, rows: Collection[SessionRow]) -> None:
        for row in rows:
            session = self._live.get(row.id)
            # One that was opened again since is another's: an old row says nothing of it.
            if session is None or row.ended_at is None or row.opened_at < session.opened_at:
                continue
            self._drop(row.id, ended=row.ended_at < row.expires_at)

    def _drop(self, session_id: str, *, ended: bool) -> None:
        session = self._live.pop(session_id, None)
        if session is not None and session.sockets:
            session.ended = ended
            self._over.append(session)


async def _aboard(ferry: Ferry[A, G], asked: A) -> G:
    """What it came to. Who waits too long for those before, for a database say, is told so."""
    try:
        return await ferry.carry(asked)
    except TimeoutError:
        raise Overloaded(retry_after=1) from None

"""A node behind its door, and lines to it that write down what they are given."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from talksy.ai.llm import LanguageModel, Part, ToolSpec
from talksy.auth import AccessTokens, Auth, KnownLogins, Passwords, TokenCache, UserCache
from talksy.database import Database
from talksy.database.accounts import Account, Accounts, Family, RefreshToken
from talksy.database.calls import Calls
from talksy.database.history import History
from talksy.database.lane import Lane
from talksy.database.logins import Logins
from talksy.database.profiles import Profiles
from talksy.database.sessions import SessionRows
from talksy.errors import TalksyError
from talksy.events import Chunk, Ending, Event, MessageAdded, Notice
from talksy.gateway import Caps, Connection, Gateway, Hello, News, Rules, Say, Workshop
from talksy.ids import new_id
from talksy.journal import Bounds, Journal, Keep, Reader
from talksy.messages import Prompt
from talksy.ratelimit import Limiter
from talksy.sessions import Life, Sessions
from talksy.state import Bus, MemoryWindows
from talksy.tools import Tool, Toolbox
from talksy.voice import Engines
from tests.unit.auth.clock import Clock
from tests.unit.conversation.script import Script, Step

RULES = Rules(messages=10, reads=20, max_chars=100, spread_ms=0)
KEEP = Keep(checkpoint_seconds=0.01, found_seconds=60)


class Cast:
    """A ``LanguageModel`` in which each message has its own script."""

    provider = "cast"
    model = "cast-1"

    def __init__(self) -> None:
        self.scripts: dict[str, LanguageModel] = {}
        self.asked: list[Sequence[Prompt]] = []

    def play(self, text: str, *steps: Step) -> Script:
        """Answers the message ``text`` with ``steps``."""
        script = self.scripts[text] = Script(*steps)
        return script

    async def stream(
        self, messages: Sequence[Prompt], tools: Sequence[ToolSpec] = ()
    ) -> AsyncGenerator[Part]:
        self.asked.append(messages)
        script = self.scripts.get(messages[-1].content) or Script("hel", "lo")
        async with aclosing(script.stream(messages, tools)) as parts:
            async for part in parts:
                yield part

    async def ping(self) -> None:
        """Answers at once."""

    async def close(self) -> None:
        """Holds nothing."""


class Line:
    """An ``Outlet`` whose client takes everything at once and writes it down."""

    def __init__(self) -> None:
        self.got: list[Notice | tuple[str, int, Event | Ending]] = []
        self.closed: TalksyError | None = None
        self._readers: list[Reader] = []
        self._news = asyncio.Event()

    def tell(self, notice: Notice) -> None:
        self._note(notice)

    def attach(self, reader: Reader) -> None:
        self._readers.append(reader)
        self.wake()

    def wake(self) -> None:
        for reader in self._readers:
            while taken := reader.take():
                self._note((reader.mirror.turn_id, *taken))

    def close(self, error: TalksyError) -> None:
        self.closed = error
        self._news.set()

    def _note(self, item: Notice | tuple[str, int, Event | Ending]) -> None:
        self.got.append(item)
        self._news.set()

    # ---- what a test asks

    async def until(self, condition: Callable[[], Any]) -> None:
        """Waits until what was given fulfils ``condition``."""
        async with asyncio.timeout(5):
            while not condition():
                self._news.clear()
                await self._news.wait()

    async def notice(self, kind: type) -> Any:
        """The first notice of a kind."""
        await self.until(lambda: self.notices(kind))
        return self.notices(kind)[0]

    def notices(self, kind: type) -> list[Any]:
        return [item for item in self.got if isinstance(item, kind)]

    def events(self, turn_id: str) -> list[tuple[int, Event | Ending]]:
        """What was given of a turn."""
        return [item[1:] for item in self.got if isinstance(item, tuple) and item[0] == turn_id]

    def text(self, turn_id: str) -> str:
        events = self.events(turn_id)
        return "".join(event.content for _, event in events if isinstance(event, Chunk))

    async def said(self, turn_id: str, text: str) -> None:
        """Waits until the turn said ``text``."""
        await self.until(lambda: self.text(turn_id) == text)

    async def ending(self, turn_id: str) -> Ending:
        """Waits for the turn's ending, which is the last of it and the only one."""
        await self.until(
            lambda: any(isinstance(event, Ending) for _, event in self.events(turn_id))
        )
        endings = [event for _, event in self.events(turn_id) if isinstance(event, Ending)]
        assert len(endings) == 1
        assert self.events(turn_id)[-1][1] is endings[0]
        return endings[0]

    def order(self) -> list[str]:
        """What came, by kind."""
        return [type(item[2] if isinstance(item, tuple) else item).__name__ for item in self.got]

    def added(self) -> list[str]:
        """The messages of other devices."""
        return [notice.message.content for notice in self.notices(MessageAdded)]


@dataclass
class House:
    """One node, open."""

    database: Database
    auth: Auth
    accounts: Accounts
    access: AccessTokens
    sessions: Sessions
    lane: Lane
    journal: Journal
    gateway: Gateway
    cast: Cast
    clock: Clock
    connected: list[Connection] = field(default_factory=list)

    async def token(self, user: str = "ada", login: str = "1") -> str:
        """An access token of one of the user's logins."""
        now = self.clock()
        family = Family(f"fam_{user}_{login}", f"usr_{user}", now)
        account = Account(family.user_id, user, user, "hash", now)
        refresh = RefreshToken(f"refresh_{family.id}", now, now + 1_000)
        if await self.accounts.get(account.id) is None:
            await self.accounts.register(account, family, refresh)
        elif await self.accounts.owner(family.id) is None:
            await self.accounts.login(family, refresh)
        return self.access.sign(account.id, family.id, now=now).text

    async def enter(
        self, user: str = "ada", login: str = "1", address: str = "::1", **hello: Any
    ) -> tuple[Line, Connection, Hello]:
        """Connects, and is not yet welcomed."""
        return await self._enter(Hello(await self.token(user, login), **hello), address)

    async def _enter(self, greeting: Hello, address: str) -> tuple[Line, Connection, Hello]:
        line = Line()
        connection = await self.gateway.connect(greeting, address, line)
        self.connected.append(connection)
        return line, connection, greeting

    async def visit(
        self, token: str | None = None, address: str = "::1", **hello: Any
    ) -> tuple[Line, Connection]:
        """Connects as a guest, a new one without a ``token``, and is welcomed."""
        line, connection, greeting = await self._enter(Hello(token, **hello), address)
        await self.gateway.welcome(connection, greeting)
        return line, connection

    async def join(self, user: str = "ada", **options: Any) -> tuple[Line, Connection]:
        """Connects and is welcomed."""
        line, connection, greeting = await self.enter(user, **options)
        await self.gateway.welcome(connection, greeting)
        return line, connection

    async def say(self, connection: Connection, text: str, **options: Any) -> str:
        """Says something and lets its turn begin; returns the turn's id."""
        say = Say(text, options.pop("streamed", True), **options)
        receipt = await self.gateway.say(connection, say)
        receipt.begin()
        return receipt.turn_id


def session_of(connection: Connection) -> str:
    assert connection.session is not None
    return connection.session.id


@asynccontextmanager
async def opened(
    database: Database,
    *,
    rules: Rules = RULES,
    caps: Caps | None = None,
    keep: Keep = KEEP,
    life: Life | None = None,
    guest_ttl_ms: int | None = 2_592_000_000,
    clock: Clock | None = None,
    bus: Bus | None = None,
    look_seconds: float = 60.0,
    tools: Iterable[Tool] = (),
    engines: Engines | None = None,
    model: LanguageModel | None = None,
) -> AsyncIterator[House]:
    """A node on ``database``; without a ``model`` its ``cast`` answers."""
    clock = clock or Clock()
    accounts = Accounts(database)
    access = AccessTokens(["s" * 32], ttl_ms=900_000, guest_ttl_ms=guest_ttl_ms)
    auth = Auth(
        accounts,
        Passwords(rounds=4),
        access,
        KnownLogins(Logins(database), ["s" * 32], clock=clock),
        users=UserCache(size=100, ttl_ms=300_000, clock=clock),
        tokens=TokenCache(size=100, ttl_ms=300_000, clock=clock),
        refresh_ttl_ms=604_800_000,
        grace_ms=10_000,
        clock=clock,
    )
    lane = Lane(database, owner=new_id("node"))
    calls = Calls(database, owner=lane.owner)
    journal = Journal(lane, calls=calls, clock=clock, bounds=Bounds(coalesce_ms=0), keep=keep)
    sessions = Sessions(SessionRows(database, node=lane.owner), life or Life(), clock)
    cast = Cast()
    gateway = Gateway(
        auth=auth,
        sessions=sessions,
        limiter=Limiter(MemoryWindows(clock, clock)),
        lane=lane,
        history=History(database),
        journal=journal,
        workshop=Workshop(Toolbox(tools), calls, clock),
        model=model or cast,
        clock=clock,
        rules=rules,
        caps=caps,
        news=News(bus, node=lane.owner, seconds=look_seconds),
        engines=engines,
        profiles=Profiles(database),
    )
    before = asyncio.all_tasks()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(auth)
        await stack.enter_async_context(gateway.open())
        yield House(database, auth, accounts, access, sessions, lane, journal, gateway, cast, clock)
    # A fixture is closed by another task than it was opened by, and a connection to the database
    # whose statement was given up is closed by a task of its own.
    if left := asyncio.all_tasks() - {asyncio.current_task()} - before:
        _, still = await asyncio.wait(left, timeout=1)
        assert not still, still

"""The clients, in a process of their own, so that what they cost is not the nodes'."""

import asyncio
import multiprocessing
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any, TypeVar

import aiohttp
import uvloop

from tests.e2e.accounts import Account
from tests.faults.reader import Habits, Left, Reader, Talk, Told, open_line

T = TypeVar("T")

ACCOUNTS = 50
"""At most; an identity may connect 600 times a minute."""
AT_ONCE = 20
"""So many turns are begun side by side."""
START_SECONDS = 300.0
LINGER_SECONDS = 1.5
"""So long after the last ending they wait for another one."""
ATTEMPTS = 20
PAUSE_SECONDS = 0.5
SMALL_BUFFER = 4_096
"""Bytes that the system takes for a reader that does not read."""


@dataclass(frozen=True)
class Plan:
    """What the clients do. Turn *i* is begun on node *i*, counted round."""

    urls: list[str]
    turns: int
    tokens: int
    rate: float
    """Tokens a second of each turn."""
    chars: int = 0
    """Of each token, at least."""
    spread: float = 0.0
    """Seconds over which the turns are begun."""
    readers: tuple[Habits, ...] = (Habits(), Habits())
    """Of each turn: the first on its own node, the next one node further, and so on."""

    @property
    def text(self) -> str:
        """The message that makes the mock model answer so."""
        delay = round(1000 / self.rate)
        return f"/mock tokens={self.tokens} delay_ms={delay} chars={self.chars}"

    def token(self, number: int) -> str:
        """One token of an answer."""
        return f"{number} ".ljust(self.chars)


@dataclass
class Kept:
    """What the history has of a turn."""

    questions: int = 0
    answers: list[dict[str, Any]] = field(default_factory=list)
    turn_id: str = ""


@dataclass
class Report:
    """What came of a plan."""

    told: list[Told]
    kept: list[Kept]


class Crowd:
    """The clients as their parent sees them."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    async def begun(self) -> None:
        """Returns when every reader of a plan without ``spread`` has had its first token."""
        assert await self._heard(START_SECONDS) == "begun"

    async def report(self, seconds: float, urls: list[str]) -> Report:
        """What they were told, ``seconds`` from now at the latest; the history is read there."""
        self._pipe.send((seconds, urls))
        answer = await self._heard(seconds + LINGER_SECONDS + START_SECONDS)
        assert isinstance(answer, Report)
        return answer

    async def _heard(self, seconds: float) -> Any:
        if not await asyncio.to_thread(self._pipe.poll, seconds):
            raise AssertionError(f"the clients have not answered for {seconds:g} s")
        answer = self._pipe.recv()
        if isinstance(answer, Exception):
            raise answer
        return answer


@contextmanager
def running_crowd(plan: Plan) -> Iterator[Crowd]:
    """Starts the clients."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_main, args=(theirs, plan), daemon=True)
    process.start()
    try:
        yield Crowd(ours)
    finally:
        process.kill()
        process.join()
        process.close()
        ours.close()
        theirs.close()


def _main(pipe: Connection, plan: Plan) -> None:
    try:
        uvloop.run(_clients(pipe, plan))
    except Exception as error:  # noqa: BLE001 - the parent raises it
        pipe.send(AssertionError(f"the clients failed: {error!r}"))


async def _clients(pipe: Connection, plan: Plan) -> None:
    async with _doors() as (door, narrow):
        talks = await _talks(plan)
        readers = list(_readers(plan, talks, door, narrow))
        tasks = [asyncio.create_task(_start(plan, reader, talks)) for reader in readers]
        if not plan.spread:
            async with asyncio.timeout(START_SECONDS):
                await asyncio.gather(*(reader.going.wait() for reader in readers))
        pipe.send("begun")
        seconds, urls = await asyncio.to_thread(pipe.recv)
        await asyncio.wait(
            [asyncio.create_task(reader.ended.wait()) for reader in readers], timeout=seconds
        )
        await asyncio.sleep(LINGER_SECONDS)
        for task in tasks:
            task.cancel()
        for ended in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended
        kept = await _history(door, talks, urls)
        pipe.send(Report([reader.told for reader in readers], kept))


@asynccontextmanager
async def _doors() -> AsyncIterator[tuple[aiohttp.ClientSession, aiohttp.ClientSession]]:
    """The usual way in, and one for readers that take little at a time."""
    wide = aiohttp.TCPConnector(limit=0, force_close=True)
    small = aiohttp.TCPConnector(limit=0, force_close=True, socket_factory=_narrow)
    async with (
        aiohttp.ClientSession(connector=wide) as door,
        aiohttp.ClientSession(connector=small) as narrow,
    ):
        yield door, narrow


def _narrow(address: Any) -> socket.socket:
    made = socket.socket(address[0], address[1], address[2])
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
    made.setblocking(False)
    return made


async def _talks(plan: Plan) -> list[Talk]:
    async def register(attempt: int) -> Account:
        return await Account.register(plan.urls[attempt % len(plan.urls)])

    accounts = [await _at_last(register) for _ in range(min(plan.turns, ACCOUNTS))]
    return [Talk(accounts[i % len(accounts)].token, plan.text) for i in range(plan.turns)]


def _readers(
    plan: Plan, talks: list[Talk], door: aiohttp.ClientSession, narrow: aiohttp.ClientSession
) -> Iterator[Reader]:
    for number, talk in enumerate(talks):
        for place, habits in enumerate(plan.readers):
            yield Reader(
                narrow if habits.stall else door,
                plan.urls,
                talk,
                Told(number, home=place == 0),
                first=number + place,
                habits=habits,
            )


async def _at_last(ask: Callable[[int], Awaitable[T]]) -> T:
    """What ``ask``, given the number of the attempt, came to: a node may be out of reach for a
    moment, and what is asked here is not what is measured.
    """
    for attempt in range(ATTEMPTS):
        try:
            return await ask(attempt)
        except (OSError, aiohttp.ClientError, TimeoutError):
            await asyncio.sleep(PAUSE_SECONDS)
    return await ask(ATTEMPTS)


_starting = asyncio.Semaphore(AT_ONCE)


async def _start(plan: Plan, reader: Reader, talks: list[Talk]) -> None:
    if not reader.told.home:
        return await reader.run()
    talk = talks[reader.told.turn]
    if plan.spread:
        await asyncio.sleep(plan.spread * reader.told.turn / plan.turns)
    async with _starting:
        running = asyncio.create_task(reader.run())
        begun = asyncio.create_task(talk.begun.wait())
        await asyncio.wait([running, begun], return_when=asyncio.FIRST_COMPLETED)
    try:
        await running
    finally:
        begun.cancel()
        running.cancel()


async def _history(door: aiohttp.ClientSession, talks: list[Talk], urls: list[str]) -> list[Kept]:
    limit = asyncio.Semaphore(AT_ONCE)

    async def read(number: int, talk: Talk) -> Kept:
        async with limit:
            return await _at_last(lambda attempt: look(number + attempt, talk))

    async def look(number: int, talk: Talk) -> Kept:
        kept = Kept(turn_id=talk.turn_id)
        auth = {"token": talk.token, "sessionId": talk.session_id, "open": True}
        async with open_line(door, urls[number % len(urls)], auth) as line:
            name, it = await line.event()
            if name != "SESSION_RESTORED":
                raise Left(f"no session for the history: {name} {it}")
            await line.ask("get_history", {})
            while name != "conversation_history":
                name, it = await line.event()
        for message in it:
            if message["role"] == "user":
                kept.questions += 1
            elif message.get("turnId") == talk.turn_id:
                kept.answers.append(message)
        return kept

    return list(await asyncio.gather(*(read(i, talk) for i, talk in enumerate(talks))))

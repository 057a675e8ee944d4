"""Many stock JavaScript clients, and what they must have been given.

async with running_crowd(url, clients=200, count=300) as crowd:
    await crowd.begun()
    … nodes are restarted …
    for told in await crowd.all(60):
        told.check()
"""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.e2e.client import Event, tokens
from tests.node import JS, ready_node

BEGIN_SECONDS = 60.0


@dataclass(frozen=True)
class Told:
    """What one client saw. ``ids`` are those of its Engine.IO sockets, ``ways`` the transports it
    connected by and upgraded to.
    """

    number: int
    connects: int
    ids: list[str]
    ways: list[str]
    errors: list[str]
    turns: list[dict[str, Any]] = field(repr=False)
    text: str = field(repr=False)
    """What each turn's answer must be."""

    def check(self, among: Sequence[str] = ("completed",)) -> None:
        """Each token once and in its place, and one ending, last, of every turn, for one of the
        reasons ``among``; what was interrupted is the beginning of the answer.
        """
        assert self.turns, self
        for turn in self.turns:
            events = [Event(**event) for event in turn["events"]]
            # It said nothing yet, and the client has asked again.
            early = not any(event.name == "stream_chunk" for event in events)
            busy = early and _code(events) == "OVERLOADED"
            self._check(events, ("failed",) if busy else among)

    def _check(self, events: list[Event], among: Sequence[str]) -> None:
        assert [event.data["seq"] for event in events] == list(range(len(events))), self
        assert len(events) >= 2, self
        start, *chunks, end = events
        assert (start.name, end.name) == ("stream_start", "stream_end"), self
        given = ""
        for number, chunk in enumerate(chunks):
            assert (chunk.name, chunk.data["index"]) == ("stream_chunk", number), self
            # By its place and not by its number alone: each piece is where it belongs.
            assert self.text.startswith(chunk.data["content"], len(given)), (chunk, self)
            given += chunk.data["content"]
        reason = end.data["reason"]
        assert reason in among, (reason, end.data.get("error"), self)
        whole = end.data.get("text", given)
        assert whole == self.text if reason == "completed" else self.text.startswith(whole), self


def _code(events: Sequence[Event]) -> str | None:
    """Of the error with which a turn ended."""
    error = events[-1].data.get("error") if events else None
    return str(error["code"]) if error else None


class Crowd:
    """The clients while they run."""

    def __init__(self, process: asyncio.subprocess.Process, clients: int, text: str) -> None:
        self._process = process
        self._clients = clients
        self._text = text

    async def begun(self) -> None:
        """Returns when each client has been given its first chunk."""
        await self._until("begun", BEGIN_SECONDS)

    async def enough(self) -> None:
        """No client begins another turn."""
        await self._say("enough")

    async def all(self, seconds: float) -> list[Told]:
        """What each of them saw, when the last turn has ended or ``seconds`` have gone by."""
        found = [await self._until("client", seconds)]
        while len(found) < self._clients:
            found.append(await self._until("client", seconds))
        return [Told(**data, text=self._text) for data in found]

    async def _until(self, name: str, seconds: float) -> Any:
        """The data of the next line with this name; where it does not come, what there is."""
        try:
            async with asyncio.timeout(seconds):
                return await self._line(name)
        except TimeoutError:
            await self._say("now")
            return await self._line("client")

    async def _line(self, name: str) -> Any:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            told = json.loads(line)
            if told["name"] == name:
                return told["data"]
        raise AssertionError("the clients ended without a word")

    async def _say(self, word: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n".encode())
        await self._process.stdin.drain()


@asynccontextmanager
async def running_crowd(
    url: str,
    *,
    clients: int,
    count: int,
    delay_ms: int = 0,
    turns: int = 1,
    moves: float = 0.0,
    **options: Any,
) -> AsyncIterator[Crowd]:
    """``clients`` that each have ``turns`` answers of ``count`` tokens; ``options`` are those of
    ``socket.io-client``, and ``moves`` is the share that goes elsewhere when its node drains.
    """
    text = f"/mock tokens={count} delay_ms={delay_ms}"
    plan = {"url": url, "clients": clients, "turns": turns, "text": text, "moves": moves}
    process = await asyncio.create_subprocess_exec(
        ready_node().program,
        str(JS / "crowd.mjs"),
        json.dumps({**plan, "options": options}),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**26,
    )
    try:
        yield Crowd(process, clients, tokens(count))
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()

"""The stock JavaScript client, under remote control."""

import asyncio
import json
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from talksy.audio import size_of
from tests.contract import check_ack, check_event
from tests.e2e.client import Event, check_turn
from tests.node import JS, ready_node

SECONDS = 15
OPTIONS: dict[str, dict[str, Any]] = {
    "as it comes": {},
    "polling only": {"transports": ["polling"]},
    "WebSocket only": {"transports": ["websocket"]},
}
OWN = ("connect", "disconnect", "connect_error", "upgrade", "spoken")
"""What ``client.mjs`` tells that no server sent."""


@dataclass
class Browser:
    """A running ``client.mjs``; ``events`` is all that it told so far, acks included."""

    process: asyncio.subprocess.Process
    events: list[Event] = field(default_factory=list)
    _ids: Callable[[], int] = field(default_factory=lambda: count().__next__)
    _asked: dict[int, str] = field(default_factory=dict)

    async def until(self, predicate: Callable[[Event], bool]) -> Any:
        """The data of the first event, past ones included, for which ``predicate`` holds."""
        for event in self.events:
            if predicate(event):
                return event.data
        assert self.process.stdout is not None
        async with asyncio.timeout(SECONDS):
            while line := await self.process.stdout.readline():
                hook = _unpacked if b"$bytes" in line else None
                event = Event(**json.loads(line, object_hook=hook))
                self.events.append(event)
                self._check(event)
                if predicate(event):
                    return event.data
        raise AssertionError(f"it ended: {self.events[-5:]}")

    def _check(self, event: Event) -> None:
        """Holds what came against the contract."""
        if event.name == "ack":
            ack = {name: value for name, value in event.data.items() if name != "id"}
            check_ack(self._asked[event.data["id"]], ack)
        elif event.name not in OWN:
            check_event(event.name, event.data)

    async def until_named(self, name: str, **fields: Any) -> Any:
        return await self.until(
            lambda e: e.name == name and all(e.data[key] == fields[key] for key in fields)
        )

    async def send(self, event: str, payload: Any) -> None:
        """Sends an event that asks for no ack."""
        await self.do("emit", event=event, payload=payload)

    async def do(self, command: str, **more: Any) -> None:
        assert self.process.stdin is not None
        line = json.dumps({"do": command, **more}, default=_packed)
        self.process.stdin.write(f"{line}\n".encode())
        await self.process.stdin.drain()

    async def speak(self, pcm: bytes, *, ms: int) -> None:
        """Sends 16 kHz sound in pieces of ``ms``, as fast as anybody speaks; then ``spoken``."""
        await self.do("speak", pcm=pcm, size=size_of(ms), ms=ms)

    async def emit(self, event: str, payload: Any = None) -> int:
        """Sends an event; its ack will have the id that is returned."""
        number = self._ids()
        self._asked[number] = event
        await self.do("emit", event=event, payload=payload or {}, id=number)
        return number

    async def call(self, event: str, payload: Any = None) -> Any:
        return await self.until_named("ack", id=await self.emit(event, payload))

    async def answer(self, turn_id: str) -> str:
        """The text of a turn whose events must all have come, each once and in order."""
        await self.until_named("stream_end", turnId=turn_id)
        return check_turn(self.turn(turn_id))

    def turn(self, turn_id: str) -> list[Event]:
        return [
            event
            for event in self.events
            if event.name.startswith("stream_") and event.data["turnId"] == turn_id
        ]

    def named(self, name: str) -> list[Any]:
        return [event.data for event in self.events if event.name == name]


def _packed(value: bytes) -> dict[str, str]:
    return {"$bytes": b64encode(value).decode()}


def _unpacked(value: dict[str, Any]) -> Any:
    return b64decode(value["$bytes"]) if value.keys() == {"$bytes"} else value


@asynccontextmanager
async def browsing(
    url: str, token: str | None = None, *, session_id: str | None = None, **options: Any
) -> AsyncIterator[Browser]:
    """A client that connects at once; ``options`` are those of ``socket.io-client``."""
    node = ready_node()
    told: dict[str, Any] = {"url": url, "options": options}
    if token is not None:
        told["token"] = token
    if session_id is not None:
        told["sessionId"] = session_id
    process = await asyncio.create_subprocess_exec(
        node.program,
        str(JS / "client.mjs"),
        json.dumps(told),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**22,
    )
    browser = Browser(process)
    try:
        yield browser
        await browser.do("quit")
        async with asyncio.timeout(SECONDS):
            await process.communicate()
        assert process.returncode == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()

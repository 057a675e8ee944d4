"""A light Socket.IO client that reads one turn, comes back where it was cut, and counts."""

import asyncio
import random
import time
from array import array
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson

CONNECT_SECONDS = 5.0
"""A node that has not greeted by then is left for another."""


class Left(Exception):
    """The line cannot be used any more, or was not wanted any more."""


@dataclass
class Told:
    """What one reader was told of its turn; token *i* is event *i* + 1."""

    turn: int
    home: bool
    """It began on the node that writes the turn."""
    after: int = -1
    tokens: int = 0
    gaps: int = 0
    repeats: int = 0
    wrong: int = 0
    """Tokens that do not belong to their number, and whatever came behind the ending."""
    endings: list[dict[str, Any]] = field(default_factory=list)
    times: "array[float]" = field(default_factory=lambda: array("d"))
    """When each came, by the clock that all processes of a machine share."""
    notes: Counter[str] = field(default_factory=Counter)
    """What else it met, such as error codes."""

    def take(self, name: str, it: dict[str, Any]) -> None:
        """Counts one event of the turn."""
        number = it["seq"]
        if self.endings:
            if name == "stream_end":
                self.endings.append(it)
            else:
                self.wrong += 1
            return
        if number <= self.after:
            self.repeats += 1
            return
        self.gaps += number - self.after - 1
        self.after = number
        self.times.append(time.monotonic())
        if name == "stream_end":
            self.endings.append(it)
        elif name == "stream_chunk":
            self.tokens += 1
            self.wrong += (it["index"], it["content"].strip()) != (number - 1, f"{number - 1}")
        else:
            self.wrong += (name, number) != ("stream_start", 0)


@dataclass
class Talk:
    """A session, and the one turn in it."""

    token: str
    text: str
    session_id: str = ""
    turn_id: str = ""
    begun: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True)
class Habits:
    """How a reader behaves."""

    hop: int = 0
    """After so many events it hangs up and goes to the next node; 0 for never."""
    stall: float = 0.0
    """So many seconds it reads nothing, once, after its tenth event."""


@dataclass
class Line:
    """An open connection, whose namespace was entered."""

    socket: aiohttp.ClientWebSocketResponse
    silence: float
    """After so many seconds without a ping the server is gone."""

    async def event(self) -> tuple[str, Any]:
        """The next event; an ack is called ``ack``. Raises ``Left`` when the line has ended."""
        while True:
            message = await self.socket.receive(self.silence)
            if message.type is not aiohttp.WSMsgType.TEXT:
                raise Left("closed")
            packet: str = message.data
            if packet == "2":
                await self.socket.send_str("3")
            elif packet.startswith("42["):
                name, *data = orjson.loads(packet[2:])
                return name, data[0] if data else None
            elif packet.startswith("43"):
                return "ack", orjson.loads(packet[packet.index("[") :])[0]
            elif packet.startswith("44"):
                raise Left(orjson.loads(packet[2:]).get("data", {}).get("code", "refused"))
            elif packet in ("1", "41"):
                raise Left("goodbye")

    async def ask(self, name: str, payload: dict[str, Any]) -> None:
        """Sends an event that is to be acknowledged."""
        await self.socket.send_str("420" + orjson.dumps([name, payload]).decode())


@asynccontextmanager
async def open_line(
    http: aiohttp.ClientSession, url: str, auth: dict[str, Any]
) -> AsyncIterator[Line]:
    """A line to a node. Raises ``OSError``, ``aiohttp.ClientError``, ``TimeoutError``, ``Left``."""
    async with asyncio.timeout(CONNECT_SECONDS):
        socket = await http.ws_connect(
            f"{url}/socket.io/?EIO=4&transport=websocket", max_msg_size=0, autoclose=False
        )
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            greeting = await socket.receive()
            if greeting.type is not aiohttp.WSMsgType.TEXT:
                raise Left("closed")
            words = orjson.loads(greeting.data[1:])
            await socket.send_str("40" + orjson.dumps(auth).decode())
        yield Line(socket, (words["pingInterval"] + words["pingTimeout"]) / 1000)
    finally:
        # Nobody waits for the goodbye of a node that may be frozen.
        if socket._response.connection is not None:
            socket._response.close()


class Reader:
    """Reads its turn to the ending, from whichever node lets it in, and then goes on listening."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        urls: list[str],
        talk: Talk,
        told: Told,
        *,
        first: int,
        habits: Habits,
    ) -> None:
        """``first`` is the node it goes to at first; the reader at home begins the turn, too."""
        self.told = told
        self.going = asyncio.Event()
        """Set when its first token has come."""
        self.ended = asyncio.Event()
        self._http = http
        self._urls = urls
        self._talk = talk
        self._node = first
        self._habits = habits
        self._stalled = False

    async def run(self) -> None:
        """Until it is cancelled, or its line ends after the ending."""
        if not self.told.home:
            await self._talk.begun.wait()
        while not self.ended.is_set():
            try:
                async with open_line(self._http, self._url, self._auth()) as line:
                    await self._read(line)
            except Left as left:
                self.told.notes[str(left)] += 1
                # The turn is to be written where the plan says, if that is only a matter of time.
                self._node += str(left) != "OVERLOADED"
            except (OSError, aiohttp.ClientError, TimeoutError) as error:
                self.told.notes[type(error).__name__] += 1
                self._node += 1
            await asyncio.sleep(random.uniform(0.02, 0.2))

    @property
    def _url(self) -> str:
        return self._urls[self._node % len(self._urls)]

    def _auth(self) -> dict[str, Any]:
        talk, auth = self._talk, dict[str, Any](token=self._talk.token)
        if talk.session_id:
            auth["sessionId"] = talk.session_id
        if talk.turn_id:
            auth["resume"] = [{"turnId": talk.turn_id, "after": self.told.after}]
        return auth

    async def _read(self, line: Line) -> None:
        taken = 0
        while True:
            name, it = await line.event()
            if name in ("stream_start", "stream_chunk", "stream_reset", "stream_end"):
                if it["turnId"] != self._talk.turn_id:
                    self.told.notes["another turn"] += 1
                    continue
                self.told.take(name, it)
                taken += 1
                if name != "stream_start":
                    self.going.set()
                if name == "stream_end":
                    self.ended.set()
                elif self._habits.hop and taken == self._habits.hop:
                    raise Left("hop")
                elif self._habits.stall and taken == 10 and not self._stalled:
                    self._stalled = True
                    await asyncio.sleep(self._habits.stall)
            elif name in ("SESSION_CREATED", "SESSION_RESTORED"):
                await self._enter(line, name, it)
            elif name == "ack":
                self._begin(it)
            elif name == "error":
                self.told.notes[it["code"]] += 1

    async def _enter(self, line: Line, name: str, it: dict[str, Any]) -> None:
        talk = self._talk
        if name == "SESSION_CREATED" and talk.session_id:
            raise Left(f"session {it.get('restoreFailed')}")
        talk.session_id = it["sessionId"]
        if not talk.turn_id:
            # Said again under the same id it starts nothing, whatever became of the first time.
            await line.ask("user_message_stream", {"text": talk.text, "messageId": "question"})

    def _begin(self, ack: dict[str, Any]) -> None:
        if not ack["ok"]:
            raise Left(ack["error"]["code"])
        self._talk.turn_id = ack["turnId"]
        self._talk.begun.set()

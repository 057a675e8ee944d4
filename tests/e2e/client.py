"""A Socket.IO client that keeps everything it was told, in order."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self

import aiohttp
import socketio

from tests.contract import check_ack, check_event, check_refusal

Transport = Literal["websocket", "polling", "upgrade"]
"""``upgrade`` starts with polling and goes over to WebSocket, as the stock clients do."""
Payload = dict[str, Any]

SECONDS = 5.0
"""How long anything may take before a test gives up; nothing here takes a tenth of it."""

GOODBYE_SECONDS = 1.0
"""How long a connection that is closed may take to say so; the library may wait for ever."""

TURN_EVENTS = ("stream_start", "stream_chunk", "stream_reset", "stream_end", "assistant_response")
TOOL_EVENTS = ("tool_call", "tool_result")
"""They belong to a turn where a model asked for them."""
ENDINGS = ("stream_end", "assistant_response")


class Refused(Exception):
    """The server answered the handshake with ``connect_error``."""

    def __init__(self, data: Any) -> None:
        super().__init__(data)
        self.data = data

    @property
    def error(self) -> Payload:
        """The error as the contract gives it: ``{code, message, …}``."""
        assert isinstance(self.data, dict), self.data
        error = self.data.get("data")
        assert isinstance(error, dict), self.data
        return error


@dataclass(frozen=True, slots=True)
class Event:
    """Something the client was told. An acknowledgement is called ``ack``."""

    name: str
    data: Any


@dataclass
class Client:
    """One connection. ``events`` is all that came, ``connect`` and ``disconnect`` included."""

    sio: socketio.AsyncClient
    http: aiohttp.ClientSession
    events: list[Event] = field(default_factory=list)
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)
    _turns: dict[str, list[Event]] = field(default_factory=dict)
    _telling: asyncio.Task[None] | None = None

    @classmethod
    async def connect(
        cls,
        url: str,
        *,
        transport: Transport = "websocket",
        auth: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Self:
        """An open connection. Raises ``Refused``."""
        http = aiohttp.ClientSession()
        sio = socketio.AsyncClient(reconnection=False, http_session=http)
        client = cls(sio, http)
        sio.on("*", client._record)
        sio.on("connect", lambda: client._record("connect"))
        sio.on("connect_error", lambda data=None: client._record("connect_error", data))
        sio.on("disconnect", lambda *_: client._record("disconnect"))
        try:
            await sio.connect(
                url,
                headers=dict(headers or {}),
                auth=auth,
                transports=["polling", "websocket"] if transport == "upgrade" else [transport],
                wait=False,
            )
            await client.wait_for(lambda events: bool(events))
        except BaseException:
            await client.close()
            raise
        if refusals := client.named("connect_error"):
            await client.close()
            raise Refused(refusals[0])
        return client

    async def call(self, event: str, *payload: Any) -> Payload:
        """Sends an event and returns its acknowledgement, which ``events`` has too."""
        answer: asyncio.Future[Payload] = asyncio.get_running_loop().create_future()

        def acknowledge(*data: Any) -> None:
            assert len(data) == 1, data
            self._record("ack", data[0])
            check_ack(event, data[0])
            answer.set_result(data[0])

        await self.sio.emit(event, payload, callback=acknowledge)
        async with asyncio.timeout(SECONDS):
            return await answer

    async def emit(self, event: str, *payload: Any) -> None:
        """Sends an event without asking for an acknowledgement."""
        await self.sio.emit(event, payload)

    async def say(self, text: str, *, stream: bool = True, **more: Any) -> Payload:
        """Sends a message that must be accepted, and returns its acknowledgement."""
        event = "user_message_stream" if stream else "user_message"
        ack = await self.call(event, {"text": text, **more})
        assert ack["ok"], ack
        return ack

    async def refused(self, event: str, *payload: Any) -> Payload:
        """Sends an event that must fail, and returns its error but the requestId."""
        ack = await self.call(event, *payload)
        assert ack["ok"] is False, ack
        error = ack["error"]
        assert isinstance(error["code"], str)
        assert error["message"]
        return {key: value for key, value in error.items() if key != "requestId"}

    async def wait_for(
        self, predicate: Callable[[Sequence[Event]], bool], seconds: float = SECONDS
    ) -> None:
        """Returns once ``predicate`` holds for all events so far."""
        try:
            async with asyncio.timeout(seconds), self._news:
                await self._news.wait_for(lambda: predicate(self.events))
        except TimeoutError:
            raise AssertionError(f"it never came; what came: {self.events[-40:]}") from None

    async def wait(self, name: str, *, nth: int = 0, **fields: Any) -> Any:
        """The data of the ``nth`` event of this name that has ``fields``, past ones included."""
        await self.wait_for(lambda _: len(self.named(name, **fields)) > nth)
        return self.named(name, **fields)[nth]

    async def ending(self, turn_id: str) -> Payload:
        """The ending of a turn, once it is there; a long one may go on as long as it does go on."""
        while not any(e.name in ENDINGS for e in self.turn(turn_id)[-1:]):
            known = len(self.events)
            await self.wait_for(lambda _, known=known: len(self.events) > known)  # type: ignore[misc]
        return next(dict(e.data) for e in self.turn(turn_id) if e.name in ENDINGS)

    async def until(self, turn_id: str, seq: int) -> None:
        """Returns once the event ``seq`` of a turn is there."""
        await self.wait_for(lambda _: any(e.data["seq"] >= seq for e in self.turn(turn_id)[-1:]))

    def named(self, name: str, **fields: Any) -> list[Any]:
        """The data of all events so far that have this name and ``fields``."""
        return [
            event.data
            for event in self.events
            if event.name == name
            and all(event.data.get(key) == value for key, value in fields.items())
        ]

    def turn(self, turn_id: str) -> list[Event]:
        """The numbered events of a turn so far."""
        return list(self._turns.get(turn_id, ()))

    def place(self, name: str, **fields: Any) -> int:
        """Where in ``events`` the first of this name with ``fields`` stands."""
        found = self.named(name, **fields)[0]
        return next(i for i, e in enumerate(self.events) if e.name == name and e.data is found)

    async def session(self) -> Payload:
        """What ``SESSION_CREATED`` or ``SESSION_RESTORED`` said of the present session."""
        names = ("SESSION_CREATED", "SESSION_RESTORED")
        await self.wait_for(lambda events: any(event.name in names for event in events))
        return next(dict(e.data) for e in reversed(self.events) if e.name in names)

    async def disconnected(self) -> None:
        """Returns once the connection has ended."""
        await self.wait_for(lambda events: any(event.name == "disconnect" for event in events))

    async def drop(self) -> None:
        """Cuts the line without a word."""
        await self.http.close()
        await self.close()

    async def close(self) -> None:
        """Says goodbye, if the line still stands, and leaves nothing behind."""
        engine = self.sio.eio
        loops = [task for task in (engine.read_loop_task, engine.write_loop_task) if task]
        if engine.state == "connected" and engine.write_loop_task:
            goodbye = asyncio.ensure_future(self.sio.disconnect())
            await asyncio.wait([engine.write_loop_task], timeout=GOODBYE_SECONDS)
            loops.append(goodbye)
        await self.http.close()
        # The library waits for a poll that is not answered, or for pings of a server that is gone.
        for task in loops:
            task.cancel()
        if self._telling is not None:
            loops.append(self._telling)
        if loops:
            await asyncio.wait(loops)

    def _record(self, name: str, data: Any = None) -> None:
        """Keeps the order: it runs to its end before anything else is read."""
        event = Event(name, data)
        self.events.append(event)
        if name == "connect_error":
            check_refusal(data)
        elif name not in ("connect", "disconnect", "ack"):
            check_event(name, data)
        if name in TURN_EVENTS or (name in TOOL_EVENTS and "turnId" in data):
            self._turns.setdefault(data["turnId"], []).append(event)
        if self._telling is None:
            self._telling = asyncio.ensure_future(self._tell())

    async def _tell(self) -> None:
        async with self._news:
            self._telling = None
            self._news.notify_all()


def check_turn(events: Sequence[Event], after: int = -1) -> str:
    """The text of a streamed turn read from ``after`` to its end, checked for the contract:
    numbers without a gap, chunks counted, one ending, last, and nothing but chunks between.
    """
    assert [event.data["seq"] for event in events] == list(
        range(after + 1, after + 1 + len(events))
    )
    *body, ending = events
    assert ending.name == "stream_end"
    if after == -1:
        start, *body = body
        assert start.name == "stream_start"
    assert all(event.name == "stream_chunk" for event in body)
    first = body[0].data["index"] if body else 0
    assert [event.data["index"] for event in body] == list(range(first, first + len(body)))
    if after == -1:
        assert first == 0
        assert ending.data["chunks"] == len(body)
    return "".join(event.data["content"] for event in body)


def tokens(count: int, chars: int = 0, start: int = 0) -> str:
    """What the mock model writes for ``/mock tokens={count} chars={chars}``, from a token on."""
    return "".join(f"{number} ".ljust(chars) for number in range(start, count))

"""An app that does all that python-socketio's API offers, on our transport.

python -m tests.protocol.app PORT [--asyncio] [--tls CERTIFICATE KEY]
"""

import argparse
import asyncio
import ssl
from collections.abc import Mapping
from typing import Any

import socketio
from aiohttp import web
from socketio.exceptions import ConnectionRefusedError as Refused
from socketio.exceptions import TimeoutError as NoAnswer

from talksy.transports.socketio import json
from talksy.transports.socketio.conformance import run
from talksy.transports.socketio.direct import Server
from talksy.transports.socketio.packets import Strict

LIMIT = 1_500_000
NAMESPACES = ["/", "/other"]


class Shop(socketio.AsyncNamespace):  # type: ignore[misc]
    """A namespace as a class."""

    async def on_connect(self, sid: str, _environ: Any, _auth: Any) -> None:
        await self.emit("welcome", {"sid": sid}, to=sid)

    async def on_buy(self, sid: str, what: str) -> str:
        await self.enter_room(sid, "buyers")
        await self.emit("sold", what, room="buyers")
        return f"one {what}"


def application() -> web.Application:
    """The app. What its handlers do stands at each of them."""
    app = web.Application(client_max_size=LIMIT)
    server = Server(
        cors_allowed_origins="*",
        connect_timeout=5.0,
        max_http_buffer_size=LIMIT,
        json=json,
        serializer=Strict,
    )
    for namespace in NAMESPACES:
        Handlers(server, namespace).register()
    server.register_namespace(Shop("/shop"))
    server.attach(app)
    app.on_shutdown.append(lambda _: server.shutdown())
    return app


class Handlers:
    """The events of a namespace, by the names of the methods that begin with ``on_``."""

    def __init__(self, server: Server, namespace: str) -> None:
        self._server = server
        self._namespace = namespace

    def register(self) -> None:
        for name in dir(self):
            if name.startswith("on_"):
                self._server.on(name[3:], getattr(self, name), namespace=self._namespace)

    async def emit(self, event: str, data: Any = None, **options: Any) -> None:
        await self._server.emit(event, data, namespace=self._namespace, **options)

    async def on_connect(self, _sid: str, environ: Mapping[str, Any], auth: Any) -> None:
        """Refuses whose auth says ``refuse``; takes as long as ``seconds`` in it say."""
        auth = auth or {}
        await asyncio.sleep(auth.get("seconds", 0))
        if "refuse" in auth:
            raise Refused("no way", {"code": auth["refuse"]})
        assert environ["REQUEST_METHOD"] == "GET"

    async def on_echo(self, _sid: str, *data: Any) -> tuple[Any, ...]:
        return data

    async def on_bounce(self, sid: str, *data: Any) -> None:
        """The same, as an event."""
        await self.emit("bounce", data, to=sid)

    async def on_ask(self, sid: str, question: Any) -> dict[str, Any]:
        """Asks the client, and answers with its answer."""
        try:
            answer = await self._server.call(
                "question", question, to=sid, namespace=self._namespace
            )
        except NoAnswer:
            answer = None  # it has gone, or answered wrongly, which was the end of it
        return {"answer": answer}

    async def on_ask_back(self, sid: str, question: Any) -> None:
        """Asks the client, whose answer comes back as an event."""

        async def answered(*answer: Any) -> None:
            await self.emit("answered", answer, to=sid)

        await self.emit("question", question, to=sid, callback=answered)

    async def on_stream(self, sid: str, count: int, pause: float, data: Any) -> None:
        """So many numbered ``token`` events, with a pause (in seconds) between them."""
        for number in range(count):
            await self.emit("token", (number, data), to=sid)
            await asyncio.sleep(pause)

    async def on_ten(self, sid: str, count: int, size: int) -> None:
        """Ten emitters at once; each event has two attachments."""

        async def emitter(who: int) -> None:
            for number in range(count):
                data = {"data": bytes([who]) * size, "more": [bytes([number])]}
                await self.emit("ten", (who, number, data), to=sid)
                if number % 3 == who % 3:
                    await asyncio.sleep(0)

        await asyncio.gather(*map(emitter, range(10)))
        await self.emit("ten ended", to=sid)

    async def on_enter(self, sid: str, room: str) -> list[str]:
        await self._server.enter_room(sid, room, namespace=self._namespace)
        return sorted(self._server.rooms(sid, namespace=self._namespace))

    async def on_leave(self, sid: str, room: str) -> list[str]:
        await self._server.leave_room(sid, room, namespace=self._namespace)
        return sorted(self._server.rooms(sid, namespace=self._namespace))

    async def on_close_room(self, _sid: str, room: str) -> None:
        await self._server.close_room(room, namespace=self._namespace)

    async def on_tell(self, sid: str, rooms: Any, data: Any) -> None:
        """Tells everybody in a room, or in several, but the client itself."""
        await self.emit("told", data, room=rooms, skip_sid=sid)

    async def on_tell_all(self, _sid: str, data: Any) -> None:
        await self.emit("told", data)

    async def on_kick(self, sid: str) -> None:
        """The namespace is over."""
        await self._server.disconnect(sid, namespace=self._namespace)

    async def on_drop(self, sid: str) -> None:
        """The connection is over."""
        await self._server.eio.disconnect(self._eio_sid(sid))

    async def on_remember(self, sid: str, data: Any) -> None:
        async with self._server.session(sid, namespace=self._namespace) as session:
            session["data"] = data

    async def on_recall(self, sid: str) -> Any:
        session = await self._server.get_session(sid, namespace=self._namespace)
        return session.get("data")

    async def on_environ(self, sid: str, *names: str) -> list[Any]:
        environ = self._server.get_environ(sid, namespace=self._namespace)
        return [environ.get(name) for name in names]

    async def on_transport(self, sid: str) -> str:
        told: str = self._server.transport(sid, namespace=self._namespace)
        return told

    async def on_endless(self, sid: str, size: int) -> None:
        """Emits until the client has gone."""
        socket = self._server.eio.sockets[self._eio_sid(sid)]
        number = 0
        while not socket.closed:
            await self.emit("endless", (number, size * "x"), to=sid)
            number += 1
            await asyncio.sleep(0)

    async def on_kept(self, _sid: str) -> dict[str, int]:
        """What is kept of clients, theirs and others'."""
        server = self._server
        return {
            "sockets": len(server.eio.sockets),
            "environs": len(server.environ),
            "packets": len(server._binary_packet),
            "callbacks": len(server.manager.callbacks),
            "rooms": sum(map(len, server.manager.rooms.values())),
        }

    def _eio_sid(self, sid: str) -> str:
        return str(self._server.manager.eio_sid_from_sid(sid, self._namespace))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tls", nargs=2)
    options, rest = parser.parse_known_args()
    context = None
    if options.tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*options.tls)
    run(application(), rest, context)


if __name__ == "__main__":
    main()

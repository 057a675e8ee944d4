"""Requests that reach one worker of this machine and belong to a socket of another.

The system gives each connection to some worker, and the requests of one polling client come over
many. The id of a socket names the worker that has it (``2.`` and the random part, or
``node1.2.``), and whoever gets such a request passes it on, over a Unix socket in a folder that
nobody else may enter. Whose request it is was settled by the handshake, which is never passed on.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

import aiohttp
import structlog
from aiohttp import web

log = structlog.get_logger(__name__)

OF_THE_CONNECTION = frozenset(
    {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
)
"""Headers that are said to the next hop alone (RFC 9110, 7.6.1)."""
NEGOTIATED = frozenset({"sec-websocket-extensions", "sec-websocket-key", "sec-websocket-version"})
"""Headers that each of the two WebSockets has for itself."""
CONNECT_SECONDS = 2.0
ASK_SECONDS = 2.0
"""For an answer that every worker has at once."""


class Handover:
    """The way from one of ``workers`` to the others, which are counted from 1."""

    def __init__(self, folder: Path, *, worker: int, workers: int, max_bytes: int) -> None:
        """``max_bytes`` is what a message of a WebSocket may have."""
        others = {str(number): number for number in range(1, workers + 1) if number != worker}
        self._others = others
        self._folder = folder
        self._max_bytes = max_bytes
        self._doors: dict[int, aiohttp.ClientSession] = {}
        self.worker = worker

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Self]:
        """Ready to pass requests on until the block ends."""
        for number in self._others.values():
            self._doors[number] = aiohttp.ClientSession(
                base_url="http://localhost",
                connector=aiohttp.UnixConnector(str(self.path(number)), limit=0),
                # A poll waits as long as its worker lets it.
                timeout=aiohttp.ClientTimeout(sock_connect=CONNECT_SECONDS),
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        try:
            yield self
        finally:
            for door in self._doors.values():
                await door.close()

    def path(self, worker: int) -> Path:
        """Where a worker takes what the others pass on."""
        return self._folder / str(worker)

    def name(self, node: str | None) -> str:
        """What the ids of sockets begin with: in front of ``node`` a balancer goes by it, and here
        the other workers.
        """
        return f"{node}.{self.worker}" if node else str(self.worker)

    def owner(self, sid: str) -> int | None:
        """The other worker that has a socket; None where it would be here."""
        name, _, _ = sid.rpartition(".")
        return self._others.get(name.rpartition(".")[2])

    async def pass_on(self, request: web.Request, worker: int) -> web.StreamResponse | None:
        """What another worker answers; None where it cannot be reached, or broke off."""
        try:
            if request.headers.get("Upgrade", "").lower() == "websocket":
                return await self._join(request, self._doors[worker])
            return await self._ask(request, self._doors[worker])
        except aiohttp.WSServerHandshakeError:
            return None  # it does not know the socket either
        except aiohttp.ClientError as error:
            log.warning("worker_away", other=worker, error=type(error).__name__)
            return None

    async def ask_all(self, path: str) -> dict[int, bytes]:
        """What the others answer to a GET, by their numbers; who cannot be reached is left out."""
        answers = await asyncio.gather(*(self._told(number, path) for number in self._doors))
        return {
            number: body
            for number, body in zip(self._doors, answers, strict=True)
            if body is not None
        }

    async def _told(self, worker: int, path: str) -> bytes | None:
        try:
            async with asyncio.timeout(ASK_SECONDS), self._doors[worker].get(path) as answer:
                answer.raise_for_status()
                return await answer.read()
        except (TimeoutError, aiohttp.ClientError) as error:
            log.warning("worker_away", other=worker, error=type(error).__name__)
            return None

    async def _ask(self, request: web.Request, door: aiohttp.ClientSession) -> web.StreamResponse:
        async with door.request(
            request.method,
            request.rel_url,
            headers=_without(request, OF_THE_CONNECTION),
            data=request.content if request.can_read_body else None,
            allow_redirects=False,
        ) as told:
            # Whole, since a poll's answer has an end and a bound: one that breaks off is none.
            body = await told.read()
            headers = {
                name: value
                for name, value in told.headers.items()
                if name.lower() not in OF_THE_CONNECTION
            }
            return web.Response(status=told.status, headers=headers, body=body)

    async def _join(self, request: web.Request, door: aiohttp.ClientSession) -> web.StreamResponse:
        """An upgrade: the frames of each side go to the other until one of them closes."""
        near = web.WebSocketResponse(max_msg_size=self._max_bytes, compress=False)
        async with door.ws_connect(
            request.rel_url,
            headers=_without(request, OF_THE_CONNECTION | NEGOTIATED),
            max_msg_size=0,
        ) as far:
            try:
                await near.prepare(request)
            except ConnectionError:
                return web.Response()  # for nobody: the client has gone
            flows = [asyncio.create_task(_flow(near, far)), asyncio.create_task(_flow(far, near))]
            try:
                await asyncio.wait(flows, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for flow in flows:
                    flow.cancel()
                await asyncio.gather(*flows, return_exceptions=True)
                await near.close()
        return near


def passed_on(request: web.Request) -> bool:
    """Whether it comes from another worker: nobody else reaches a Unix socket of ours."""
    transport = request.transport
    return transport is not None and isinstance(transport.get_extra_info("sockname"), str)


Side = web.WebSocketResponse | aiohttp.ClientWebSocketResponse


async def _flow(source: Side, sink: Side) -> None:
    """Frames one way; whoever does not read is waited for."""
    async for frame in source:
        if frame.type is aiohttp.WSMsgType.TEXT:
            await sink.send_str(frame.data)
        elif frame.type is aiohttp.WSMsgType.BINARY:
            await sink.send_bytes(frame.data)


def _without(request: web.Request, names: frozenset[str]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in request.headers.items() if name.lower() not in names]

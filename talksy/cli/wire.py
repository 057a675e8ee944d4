"""A connection to a server that is made again where it is cut."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import socketio

FIRST_PAUSE = 0.2
LONGEST_PAUSE = 5.0
"""Seconds between two attempts to connect; the pause doubles from the first to the longest."""
CONNECT_SECONDS = 10.0

_STALE = frozenset({"TOKEN_EXPIRED", "UNAUTHENTICATED"})
_PASSING = frozenset({"SERVER_DRAINING", "OVERLOADED", "INTERNAL_ERROR"})

Payload = dict[str, Any]


class Refused(Exception):
    """The server said no; the text is for the person who talks."""


class Wire:
    """Socket.IO, by WebSocket, under a token that is renewed."""

    def __init__(
        self,
        url: str,
        token: str,
        *,
        renew: Callable[[], Awaitable[str | None]],
        notice: Callable[[str], None],
        hello: Callable[[], Payload],
        hear: Callable[[str, Any], Awaitable[None]],
        part: Callable[[], None],
    ) -> None:
        """``renew`` gives a fresh token, or None where there is none to be had; ``notice`` is given
        what there is to say, a line each; ``hello`` says what a handshake has beside the token.
        ``hear`` is given what comes in, ``part`` is called when the line is cut.
        """
        self._url, self._token = url, token
        self._renew, self._notice = renew, notice
        self._hello, self._hear, self._part = hello, hear, part
        self._sio: socketio.AsyncClient | None = None
        self._lost = asyncio.Event()

    async def keep(self) -> None:
        """Keeps the line. Raises ``Refused`` where it cannot be had."""
        pause, before = FIRST_PAUSE, False
        while True:
            if await self._connect(again=before):
                pause, before = FIRST_PAUSE, True
                await self._lost.wait()
                self._part()
                self._notice("the connection is lost: coming back")
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - no secret
            pause = min(2 * pause, LONGEST_PAUSE)

    async def close(self) -> None:
        """Hangs up."""
        if self._sio is not None:
            await self._sio.disconnect()
            if self._sio.eio.http is not None:
                await self._sio.eio.http.close()

    async def emit(
        self, event: str, payload: Any, then: Callable[[Payload], Any] | None = None
    ) -> None:
        """Sends an event; ``then`` is given its acknowledgement. A line that is cut this very
        moment loses it: what matters is to be sent again at the next.
        """
        if self._sio is not None:
            with suppress(socketio.exceptions.SocketIOError):
                await self._sio.emit(event, payload, callback=then)

    async def freshen(self) -> None:
        """Brings another token before this one runs out; without one the line is cut for it."""
        token = await self._renew()
        if token is not None:
            self._token = token
            await self.emit("auth_refresh", {"token": token}, self.complain)

    def complain(self, ack: Payload) -> None:
        """Says what was wrong with an event whose acknowledgement tells nothing else."""
        if not ack["ok"]:
            self._notice(ack["error"]["message"])

    async def _connect(self, *, again: bool) -> bool:
        refusals: list[Any] = []
        sio = socketio.AsyncClient(reconnection=False, handle_sigint=False)
        lost = self._lost = asyncio.Event()
        sio.on("connect_error", lambda data=None: refusals.append(data))
        sio.on("disconnect", lambda *_: lost.set())
        sio.on("*", self._hear)
        self._sio = sio
        auth: Payload = {"token": self._token, **self._hello()}
        try:
            await sio.connect(
                self._url, auth=auth, transports=["websocket"], wait_timeout=CONNECT_SECONDS
            )
        except socketio.exceptions.ConnectionError as error:
            await self.close()
            await self._refused(refusals[-1] if refusals else None, str(error), again=again)
            return False
        return True

    async def _refused(self, refusal: Any, fallback: str, *, again: bool) -> None:
        """Says why there is no line. Raises ``Refused`` where trying again would not help."""
        error = refusal.get("data") if isinstance(refusal, dict) else None
        if not isinstance(error, dict):
            if not again:
                raise Refused(f"cannot reach {self._url}: {fallback}")
            return
        if error["code"] in _STALE and (token := await self._renew()) is not None:
            self._token = token
        elif again and error["code"] in _PASSING:
            self._notice(error["message"])
        else:
            raise Refused(error["message"])

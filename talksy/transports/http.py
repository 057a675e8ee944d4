"""aiohttp's server, where it acts before anybody of ours is asked: on what is no HTTP, and on who
says nothing.

Leaned on beyond the library's public API: ``AppRunner._make_server``, ``Server``'s ``_kwargs``,
``_loop``, ``connection_made`` and ``connection_lost``, and ``RequestHandler._request_count``.
"""

import asyncio
from typing import Any

import structlog
from aiohttp import web

from talksy.errors import InternalError, TalksyError, ValidationError
from talksy.ids import new_id
from talksy.transports.rest.headers import SAFE, SERVER
from talksy.transports.rest.problems import problem

log = structlog.get_logger(__name__)


HEAD_SECONDS = 10.0
"""How long a new connection may take until the head of its first request is there."""


class Runner(web.AppRunner):
    """Runs an application. What is no HTTP is told so as every mistake of a client's is."""

    def __init__(
        self, app: web.Application, *, head_seconds: float = HEAD_SECONDS, **options: Any
    ) -> None:
        super().__init__(app, **options)
        self._head_seconds = head_seconds

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        return _Server(
            server.request_handler,
            head_seconds=self._head_seconds,
            request_factory=server.request_factory,
            handler_cancellation=server.handler_cancellation,
            **server._kwargs,  # noqa: SLF001
        )


class _Server(web.Server):
    def __init__(self, *arguments: Any, head_seconds: float, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._head_seconds = head_seconds
        self._fresh: dict[web.RequestHandler, float] = {}
        """Connections by the moment until which they may be silent, the oldest first."""
        self._next_look: asyncio.TimerHandle | None = None

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        until = self._fresh[handler] = self._loop.time() + self._head_seconds
        if self._next_look is None:
            self._next_look = self._loop.call_at(until, self._look)

    def connection_lost(
        self, handler: web.RequestHandler, exc: BaseException | None = None
    ) -> None:
        self._fresh.pop(handler, None)
        super().connection_lost(handler, exc)

    def _look(self) -> None:
        """Hangs up on those who have not asked for anything in time."""
        now = self._loop.time()
        due = [handler for handler, until in self._fresh.items() if until <= now]
        for handler in due:
            del self._fresh[handler]
            if not handler._request_count:  # noqa: SLF001
                log.info("silent_connection")
                handler.force_close()
        self._next_look = None
        if self._fresh:
            until = next(iter(self._fresh.values()))
            self._next_look = self._loop.call_at(until, self._look)

    def __call__(self) -> web.RequestHandler:
        return _Protocol(self, loop=self._loop, **self._kwargs)


class _Protocol(web.RequestHandler):
    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - it quotes what was sent
    ) -> web.StreamResponse:
        """The answer, which closes the connection. What was sent may be a secret: it is not logged.

        A fault of ours comes here, too, where none of our middlewares has seen it.
        """
        number = new_id("req")
        error: TalksyError = InternalError(number)
        if status < 500:
            error = ValidationError("This is not a request as HTTP/1.1 has them.")
            log.info("bad_http", error=type(exc).__name__, request_id=number)
        else:
            log.error("request_failed", exc_info=exc, request_id=number)
        if request.writer.output_size:
            raise ConnectionError("half an answer is out: the connection closes")
        answer = problem(error, number)
        answer.headers.update({**SAFE, "Server": SERVER, "X-Request-Id": number})
        answer.force_close()
        return answer

"""aiohttp's server, where it acts before anybody of ours is asked: on what is no HTTP, and on who
says nothing. Where an application has doors, a connection is a ``Front`` first.

Leaned on beyond the library's public API: ``AppRunner._make_server``, ``Server``'s ``_kwargs``,
``_loop``, ``connection_made`` and ``connection_lost``, and ``RequestHandler._request_count``.
"""

import asyncio
from typing import Any

import orjson
import structlog
from aiohttp import web

from talksy.errors import InternalError, TalksyError, ValidationError
from talksy.ids import new_id
from talksy.transports.requests import COMMON, DOORS, Reply
from talksy.transports.rest.headers import SAFE, SERVER
from talksy.transports.rest.problems import PROBLEM, document, problem
from talksy.transports.socketio.engine.front import NEWCOMERS, Front
from talksy.transports.socketio.engine.turnstile import Turnstile

log = structlog.get_logger(__name__)


HEAD_SECONDS = 10.0
"""How long a new connection may take until the head of its first request is there."""
IDLE_SECONDS = 3_630.0
"""How long one that is kept open may be silent; as aiohttp has it, longer than any proxy."""


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
            app=self.app,
            head_seconds=self._head_seconds,
            request_factory=server.request_factory,
            handler_cancellation=server.handler_cancellation,
            **server._kwargs,  # noqa: SLF001
        )


class _Server(web.Server):
    """The ``House`` of its ``Front``s."""

    def __init__(
        self, *arguments: Any, app: web.Application, head_seconds: float, **options: Any
    ) -> None:
        super().__init__(*arguments, **options)
        self._fresh = Patience(self._loop, head_seconds)
        self._idle = Patience(self._loop, IDLE_SECONDS)
        self._fronts: set[Front] = set()
        self.newcomers = Turnstile(NEWCOMERS)
        self.doors = app.get(DOORS, {})
        self.common = app.get(COMMON, lambda _: b"")

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        self._fresh.watch(handler)

    def connection_lost(
        self, handler: web.RequestHandler, exc: BaseException | None = None
    ) -> None:
        self._fresh.forget(handler)
        super().connection_lost(handler, exc)

    async def shutdown(self, timeout: float | None = None) -> None:
        for front in list(self._fronts):
            front.close()
        await super().shutdown(timeout)

    def __call__(self) -> asyncio.Protocol:  # type: ignore[override]
        return Front(self) if self.doors else self.others()

    # ---- a House

    def came(self, front: Front) -> None:
        self._fronts.add(front)
        self._fresh.watch(front)

    def asked(self, front: Front) -> None:
        self._fresh.forget(front)
        self._idle.watch(front)

    def left(self, front: Front) -> None:
        self._fronts.discard(front)
        self._fresh.forget(front)
        self._idle.forget(front)

    def others(self) -> asyncio.Protocol:
        return _Protocol(self, loop=self._loop, **self._kwargs)

    def failed(self, error: BaseException) -> Reply:
        number = new_id("req")
        log.error("request_failed", exc_info=error, request_id=number)
        told = InternalError(number)
        return Reply(orjson.dumps(document(told, number)), told.status, PROBLEM)


class Patience:
    """Hangs up on connections that are silent for so many seconds; one timer for all of them."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        self._loop = loop
        self._seconds = seconds
        self._until: dict[web.RequestHandler | Front, float] = {}
        """The moment until which each may be silent, the earliest first."""
        self._next_look: asyncio.TimerHandle | None = None

    def watch(self, who: web.RequestHandler | Front) -> None:
        """From now on it has so long."""
        self._until.pop(who, None)
        until = self._until[who] = self._loop.time() + self._seconds
        if self._next_look is None:
            self._next_look = self._loop.call_at(until, self._look)

    def forget(self, who: web.RequestHandler | Front) -> None:
        """It has said something, or has gone."""
        self._until.pop(who, None)

    def _look(self) -> None:
        now = self._loop.time()
        due = [who for who, until in self._until.items() if until <= now]
        for who in due:
            del self._until[who]
            self._hang_up(who)
        self._next_look = None
        if self._until:
            until = next(iter(self._until.values()))
            self._next_look = self._loop.call_at(until, self._look)

    def _hang_up(self, who: web.RequestHandler | Front) -> None:
        if isinstance(who, Front):
            if who.busy:
                return  # watched again when it has its answer
            log.info("silent_connection")
            who.close()
        elif not who._request_count:  # noqa: SLF001
            log.info("silent_connection")
            who.force_close()


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

"""aiohttp's server, where it answers before anybody of ours is asked: to what is no HTTP.

Leaned on beyond the library's public API: ``AppRunner._make_server`` and ``Server``'s ``_kwargs``
and ``_loop``.
"""

import structlog
from aiohttp import web

from talksy.errors import InternalError, TalksyError, ValidationError
from talksy.ids import new_id
from talksy.transports.rest.headers import SAFE, SERVER
from talksy.transports.rest.problems import problem

log = structlog.get_logger(__name__)


class Runner(web.AppRunner):
    """Runs an application. What is no HTTP is told so as every mistake of a client's is."""

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        return _Server(
            server.request_handler,
            request_factory=server.request_factory,
            handler_cancellation=server.handler_cancellation,
            **server._kwargs,  # noqa: SLF001
        )


class _Server(web.Server):
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

"""Which requests for sockets are served here at all."""

from collections.abc import Callable, Sequence

import structlog
from aiohttp import web

from talksy.errors import OriginDenied, PayloadTooLarge, ServerDraining
from talksy.transports.handover import Handover
from talksy.transports.origin import origin_allowed
from talksy.transports.requests import Ask
from talksy.transports.rest.headers import request_id
from talksy.transports.rest.problems import problem

log = structlog.get_logger(__name__)


class Guard:
    """Refuses what is not for us, and passes on what is another worker's."""

    def __init__(
        self,
        *,
        origins: Sequence[str],
        packet_bytes: int,
        draining: Callable[[], bool],
        handover: Handover | None,
    ) -> None:
        self._origins = tuple(origins)
        self._packet_bytes = packet_bytes
        self._draining = draining
        self._handover = handover

    async def __call__(self, request: web.Request) -> web.StreamResponse | None:
        """The answer; None where the engine is to answer."""
        origin = request.headers.get("Origin")
        if not origin_allowed(self._origins, origin, request.host):
            log.info("origin_denied", origin=origin)
            return problem(OriginDenied(), request_id(request))
        if (request.content_length or 0) > self._packet_bytes:
            too_large = PayloadTooLarge(f"a payload may have {self._packet_bytes} bytes")
            return problem(too_large, request_id(request))
        sid = request.query.get("sid", "")
        if not sid and self._draining():
            # Said so that a balancer asks the next node, and the stock client asks again.
            return problem(ServerDraining(), request_id(request))
        if self._handover and (other := self._handover.owner(sid)):
            return await self._handover.pass_on(request, other)
        return None

    def lets(self, ask: Ask) -> bool:
        """Whether the engine is to answer."""
        if not origin_allowed(self._origins, ask.header("origin"), ask.header("host") or ""):
            return False
        if int(ask.header("content-length") or 0) > self._packet_bytes:
            return False
        return "sid" in ask.query or not self._draining()

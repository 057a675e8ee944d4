"""GET /metrics."""

import hmac
from ipaddress import ip_address

from aiohttp import web

from talksy.errors import Forbidden, Unauthenticated
from talksy.metrics import Metrics, joined
from talksy.transports.asking import bearer
from talksy.transports.handover import Handover, passed_on

PROXIED = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via")
"""By these a proxy is known: whoever comes through one is not of this machine."""


class MetricsRoute:
    """What Prometheus scrapes: with a token, or without one from this machine alone.

    One of several workers gives what all of them have, each under its number.
    """

    def __init__(self, metrics: Metrics, token: str | None, handover: Handover | None) -> None:
        self._metrics = metrics
        self._token = token
        self._handover = handover

    def add(self, router: web.UrlDispatcher) -> None:
        router.add_get("/metrics", self.metrics)

    async def metrics(self, request: web.Request) -> web.Response:
        text, kind = self._metrics.render()
        if not passed_on(request):
            self._admit(request)
            if self._handover:
                others = await self._handover.ask_all("/metrics")
                text = joined("worker", {self._handover.worker: text, **others})
        return web.Response(body=text, headers={"Content-Type": kind})

    def _admit(self, request: web.Request) -> None:
        """Raises ``Unauthenticated`` or ``Forbidden``."""
        if self._token is None:
            if not _local(request):
                raise Forbidden("Set METRICS_TOKEN to read the metrics from another machine.")
            return
        sent = (bearer(request) or "").encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(sent, self._token.encode()):
            raise Unauthenticated("Send METRICS_TOKEN as Authorization: Bearer <token>.")


def _local(request: web.Request) -> bool:
    """Whether it comes from this machine, and through no proxy on it."""
    try:
        peer = ip_address(request.remote or "")
    except ValueError:
        return False
    mapped = getattr(peer, "ipv4_mapped", None) or peer
    return bool(mapped.is_loopback) and request.headers.keys().isdisjoint(PROXIED)

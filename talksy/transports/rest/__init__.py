"""Accounts, voice profiles and the server's state over HTTP."""

import time
from collections.abc import Callable, Sequence

import structlog
from aiohttp import web

from talksy.auth import Auth
from talksy.database.profiles import Profiles
from talksy.errors import InternalError, TalksyError
from talksy.metrics import Metrics
from talksy.ratelimit import Limiter
from talksy.transports.address import Network
from talksy.transports.handover import Handover
from talksy.transports.requests import COMMON
from talksy.transports.rest.accounts import AccountRoutes
from talksy.transports.rest.headers import SOCKET_PATH, Headers, Respond, request_id
from talksy.transports.rest.health import Health, HealthRoutes
from talksy.transports.rest.metrics import MetricsRoute
from talksy.transports.rest.problems import http_problem, problem
from talksy.transports.rest.profiles import ProfileRoutes

__all__ = ["Health", "request_id", "setup_rest"]

log = structlog.get_logger(__name__)


def setup_rest(
    app: web.Application,
    *,
    auth: Auth,
    limiter: Limiter,
    profiles: Profiles,
    health: Health,
    clock: Callable[[], int],
    origins: Sequence[str],
    trusted_proxies: Sequence[Network],
    max_body: int,
    version: str,
    register_per_minute: int,
    login_per_minute: int,
    login_failures: int,
    reads_per_minute: int,
    metrics: Metrics | None = None,
    handover: Handover | None = None,
    metrics_token: str | None = None,
    tls: bool = False,
) -> None:
    """Adds the REST routes, and what every answer of ``app`` has in common.

    ``origins`` is ``("*",)`` or an exact list, ``max_body`` is in bytes, the limits are per
    address, ``login_failures`` per account and address in 15 minutes, ``reads_per_minute`` per
    user. ``tls``: the server speaks https itself. ``handover`` leads to the other workers. Bodies
    below ``/socket.io/`` are left as they are.
    """
    metrics = metrics or Metrics()
    headers = Headers(origins, trusted_proxies, tls=tls)
    app.middlewares.extend([Observer(metrics).observe, headers.preflight])
    app.on_response_prepare.append(headers.prepare)
    app[COMMON] = headers.lines
    HealthRoutes(health, version).add(app.router)
    MetricsRoute(metrics, metrics_token, handover).add(app.router)
    AccountRoutes(
        auth,
        limiter,
        metrics,
        trusted_proxies=trusted_proxies,
        max_body=max_body,
        register_per_minute=register_per_minute,
        login_per_minute=login_per_minute,
        login_failures=login_failures,
    ).add(app.router)
    ProfileRoutes(auth, limiter, profiles, clock, per_minute=reads_per_minute).add(app.router)


class Observer:
    """Sees every request."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    @web.middleware
    async def observe(self, request: web.Request, handler: Respond) -> web.StreamResponse:
        """Logs and counts a request, and turns what was raised into a problem document."""
        if request.path.startswith(SOCKET_PATH):
            return await handler(request)
        started = time.perf_counter()
        method = request.method
        with structlog.contextvars.bound_contextvars(request_id=request_id(request)):
            answer = await _answer(request, handler)
            seconds = time.perf_counter() - started
            ms = round(seconds * 1000, 1)
            log.info("request", method=method, path=request.path, status=answer.status, ms=ms)
        resource = request.match_info.route.resource
        route = resource.canonical if resource else None
        self._metrics.request(route, method, answer.status, seconds)
        return answer


async def _answer(request: web.Request, handler: Respond) -> web.StreamResponse:
    try:
        return await handler(request)
    except TalksyError as error:
        return problem(error, request_id(request))
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return http_problem(error, request, request_id(request))
    except Exception:
        # The client is told the number alone; the line in the log has it, too.
        log.exception("request_failed")
        return problem(InternalError(request_id(request)), request_id(request))

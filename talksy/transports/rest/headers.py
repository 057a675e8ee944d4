"""What every answer carries: its request's id, who may read it, what a browser must not do."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence

from aiohttp import web

from talksy.ids import new_id
from talksy.transports.address import Network, within
from talksy.transports.origin import ANY, origin_allowed
from talksy.transports.requests import Ask

SOCKET_PATH = "/socket.io/"
"""What is below it answers for itself."""

SAFE: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    # Pages that may read our answers ask by CORS, which this leaves alone.
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""An answer is data: no browser is to run it, frame it or guess what it is. A page of ours sets its
own policy."""
SERVER = "talksy"
_ALWAYS = "".join(
    f"{name}: {value}\r\n" for name, value in (("Server", SERVER), *SAFE.items())
).encode()
_YEAR = "max-age=31536000"

_METHODS = "GET, POST, DELETE"
_REQUEST_HEADERS = "Authorization, Content-Type, X-Request-Id"
_ANSWER_HEADERS = "X-Request-Id, Retry-After"
_PREFLIGHT_SECONDS = "600"

_GIVEN_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_REQUEST_ID = web.RequestKey("request_id", str)

Respond = Callable[[web.Request], Awaitable[web.StreamResponse]]


def request_id(request: web.Request) -> str:
    """The client's own ``X-Request-Id`` where it has 1 to 64 of ``A-Za-z0-9._-``, else a new id."""
    if _REQUEST_ID not in request:
        given = request.headers.get("X-Request-Id", "")
        request[_REQUEST_ID] = given if _GIVEN_ID.fullmatch(given) else new_id("req")
    return request[_REQUEST_ID]


class Headers:
    """Sets them when an answer starts, so that refusals and upgraded sockets have them, too."""

    def __init__(self, origins: Sequence[str], trusted: Sequence[Network], *, tls: bool) -> None:
        self._origins = tuple(origins)
        self._trusted = tuple(trusted)
        self._tls = tls

    async def prepare(self, request: web.Request, answer: web.StreamResponse) -> None:
        """For ``on_response_prepare``."""
        answer.headers["X-Request-Id"] = request_id(request)
        # Which versions answer is nobody's business.
        answer.headers["Server"] = SERVER
        for name, value in SAFE.items():
            answer.headers.setdefault(name, value)
        told = request.headers.get("X-Forwarded-Proto", "")
        if self._secure(told, request.remote):
            answer.headers["Strict-Transport-Security"] = _YEAR
        if request.path.startswith("/auth/"):
            answer.headers["Cache-Control"] = "no-store"
        answer.headers.update(self._cors(request.headers.get("Origin"), request.host))

    def lines(self, ask: Ask) -> bytes:
        """The same below ``SOCKET_PATH``, as the lines of a head, for who writes it himself."""
        given = ask.header("x-request-id") or ""
        lines = [f"X-Request-Id: {given if _GIVEN_ID.fullmatch(given) else new_id('req')}\r\n"]
        if self._secure(ask.header("x-forwarded-proto") or "", ask.remote):
            lines.append(f"Strict-Transport-Security: {_YEAR}\r\n")
        cors = self._cors(ask.header("origin"), ask.header("host") or "")
        lines += [f"{name}: {value}\r\n" for name, value in cors.items()]
        return _ALWAYS + "".join(lines).encode()

    @web.middleware
    async def preflight(self, request: web.Request, handler: Respond) -> web.StreamResponse:
        """Answers a browser that asks before it sends."""
        asks = request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
        if not asks or "Origin" not in request.headers:
            return await handler(request)
        headers = {}
        if origin_allowed(self._origins, request.headers["Origin"], request.host):
            headers = {
                "Access-Control-Allow-Methods": _METHODS,
                "Access-Control-Allow-Headers": _REQUEST_HEADERS,
                "Access-Control-Max-Age": _PREFLIGHT_SECONDS,
            }
        return web.Response(status=204, headers=headers)

    def _secure(self, told: str, remote: str | None) -> bool:
        """Whether the client came by https: to us, or to a proxy that is believed."""
        told = told.rpartition(",")[2].strip().lower()
        return self._tls or (told == "https" and within(remote or "", self._trusted))

    def _cors(self, origin: str | None, host: str) -> dict[str, str]:
        anyone = self._origins == ANY
        headers = {} if anyone else {"Vary": "Origin"}
        if origin is None or not origin_allowed(self._origins, origin, host):
            return headers
        headers["Access-Control-Expose-Headers"] = _ANSWER_HEADERS
        headers["Access-Control-Allow-Origin"] = "*" if anyone else origin
        if not anyone:
            headers["Access-Control-Allow-Credentials"] = "true"
        return headers

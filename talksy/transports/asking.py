"""Who asks, as the HTTP request of any transport tells."""

from collections.abc import Sequence

from aiohttp import web

from talksy.errors import Unauthenticated
from talksy.transports.address import Network, client_address


def address(request: web.Request, trusted: Sequence[Network]) -> str:
    """The client's address, as far as ``trusted`` proxies tell it."""
    forwarded = ",".join(request.headers.getall("X-Forwarded-For", []))
    return client_address(request.remote or "", forwarded, trusted)


def bearer(request: web.Request) -> str | None:
    """The token of ``Authorization: Bearer``, None where there is none."""
    return bearer_of(request.headers.get("Authorization", ""))


def token(request: web.Request) -> str:
    """The same where there must be one. Raises ``Unauthenticated``."""
    found = bearer(request)
    if found is None:
        raise Unauthenticated("Send the access token as Authorization: Bearer <token>.")
    return found


def bearer_of(authorization: str) -> str | None:
    """The token of that header, None where there is none."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None

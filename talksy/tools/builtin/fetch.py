"""Reads pages of the public web: never an address of this machine's own networks."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any
from urllib.parse import urljoin

import aiohttp
from pydantic import Field
from yarl import URL

from talksy.errors import ToolFailed
from talksy.tools.builtin.addresses import is_public
from talksy.tools.builtin.html import text_of
from talksy.tools.faults import validation_error
from talksy.tools.function import FunctionTool, tool

MAX_BYTES = 524_288
MAX_REDIRECTS = 5
SECONDS = 15.0
PORTS = frozenset({80, 443, 8080, 8443})
REDIRECTS = frozenset({301, 302, 303, 307, 308})
HEADERS = {
    "Accept": "text/html, text/*;q=0.9, application/json;q=0.9",
    # Packed, a little could become more than there is room for.
    "Accept-Encoding": "identity",
    "User-Agent": "Talksy (fetch_url)",
}
TEXTS = frozenset({"application/json", "application/xml", "application/xhtml+xml"})
PAGES = frozenset({"text/html", "application/xhtml+xml"})
CHARSETS = frozenset(
    {"ascii", "utf-8", "utf-16", "utf-16le", "utf-16be", "latin-1", "iso-8859-1", "iso-8859-15"}
    | {f"windows-125{last}" for last in range(9)}
    | {"shift_jis", "euc-jp", "gb2312", "gbk", "gb18030", "big5", "euc-kr", "koi8-r"}
)
"""Python knows others that take far too long for a page, or are none for text."""

Reachable = Callable[[str], bool]


@asynccontextmanager
async def opened_fetch(
    reachable: Reachable = is_public, ports: frozenset[int] | None = PORTS
) -> AsyncIterator[FunctionTool[..., Any]]:
    """The tool, with its connections. ``reachable`` says to which addresses it may connect, and
    ``ports`` to which ports; None for any.
    """

    def connect(address: tuple[Any, ...]) -> socket.socket:
        # Asked for the very address that is connected to: whatever a name has meant before, and
        # wherever a redirect has led.
        family, kind, protocol, _, place = address
        if not reachable(str(place[0])):
            raise OSError("the address is not public")
        return socket.socket(family, kind, protocol)

    connector = aiohttp.TCPConnector(
        socket_factory=connect, limit=20, use_dns_cache=False, force_close=True
    )
    async with aiohttp.ClientSession(
        connector=connector,
        headers=HEADERS,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=SECONDS),
        auto_decompress=False,
        trust_env=False,
    ) as session:

        @tool(category="data", policy="ask", idempotent=True)
        async def fetch_url(url: Annotated[str, Field(min_length=1, max_length=2048)]) -> Any:
            """Reads a page of the public web and returns its text.

            Args:
                url: with http:// or https://
            """
            try:
                return await _read(session, _checked(url, ports), ports)
            except TimeoutError:
                raise ToolFailed(f"The page did not come within {SECONDS:g} s.") from None
            except aiohttp.ClientConnectorError:
                text = "The server cannot be reached, or is none of the public web."
                raise ToolFailed(text) from None
            except (aiohttp.ClientError, ValueError):
                raise ToolFailed("The server does not answer as web servers do.") from None

        yield fetch_url


async def _read(
    session: aiohttp.ClientSession, url: URL, ports: frozenset[int] | None
) -> dict[str, Any]:
    for _ in range(MAX_REDIRECTS + 1):
        async with session.get(url, allow_redirects=False) as answer:
            target = answer.headers.get("Location")
            if answer.status not in REDIRECTS or target is None:
                return await _told(answer)
            url = _checked(urljoin(str(url), target), ports)
    raise ToolFailed(f"The page leads on more than {MAX_REDIRECTS} times.")


async def _told(answer: aiohttp.ClientResponse) -> dict[str, Any]:
    kind = answer.content_type.lower()
    readable = kind.startswith("text/") or kind in TEXTS or kind.endswith(("+json", "+xml"))
    if not readable:
        raise ToolFailed(f"The page is no text but {kind[:100]}.")
    if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise ToolFailed("The server packs what it was asked not to pack.")
    body = bytearray()
    while len(body) <= MAX_BYTES and (piece := await answer.content.read(65_536)):
        body += piece
    text = await asyncio.to_thread(_text, bytes(body[:MAX_BYTES]), answer.charset, kind)
    return {
        "url": str(answer.url),
        "status": answer.status,
        "contentType": kind,
        "text": text,
        "truncated": len(body) > MAX_BYTES,
    }


def _text(body: bytes, charset: str | None, kind: str) -> str:
    named = (charset or "").lower()
    text = body.decode(named if named in CHARSETS else "utf-8", "replace")
    return text_of(text) if kind in PAGES else text


def _checked(text: str, ports: frozenset[int] | None) -> URL:
    """Raises ``ValidationError``."""
    try:
        url = URL(text.strip())
        host, port = url.host, url.port
    except ValueError:
        raise validation_error([("url", "it is no URL")]) from None
    if url.scheme not in ("http", "https") or not host:
        raise validation_error([("url", "it has to begin with http:// or https:// and a host")])
    if url.user is not None or url.password is not None:
        raise validation_error([("url", "it may not have a user or a password")])
    if ports is not None and port not in ports:
        raise validation_error([("url", f"its port has to be one of {sorted(ports)}")])
    return url

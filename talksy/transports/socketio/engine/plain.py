"""Requests that come whole and say nothing unusual, as stock clients send them.

What is read here could be read in one way only; everything else is left to aiohttp.
"""

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from talksy.transports.requests import P, TooBig

_HEAD = re.compile(
    rb"(GET|POST) ((/[a-z./]*)\?([A-Za-z0-9._~=&-]*)) HTTP/1\.1\r\n"
    rb"((?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e]*\r\n)*)\r\n"
)
_LENGTH = re.compile(r"[0-9]{1,7}")
_UNUSUAL = frozenset({"content-encoding", "expect", "te", "trailer", "transfer-encoding"})
"""What changes how a request is to be read."""
KEEP = "keep-alive"
HEAD_BYTES = 8_190
"""As long as aiohttp takes a line of a head; here it is the whole of it."""


class Place(Protocol):
    """The connection that a request came by."""

    @property
    def remote(self) -> str:
        """The address of the other end."""

    def leave(self, key: bytes, make: Callable[[asyncio.Transport, bytes], P]) -> tuple[P, bytes]:
        """As ``Ask.take_over``."""


class Plain:
    """Such a request. An ``Ask``."""

    __slots__ = ("_body", "_headers", "_place", "method", "query", "raw_headers", "raw_path")

    version = (1, 1)

    def __init__(
        self,
        place: Place,
        method: str,
        target: str,
        query: Mapping[str, str],
        lines: Sequence[tuple[bytes, bytes]],
        headers: Mapping[str, str],
        body: bytes,
    ) -> None:
        self.method = method
        self.query = query
        self.raw_path = target
        self.raw_headers = lines
        self._place = place
        self._headers = headers
        self._body = body

    @property
    def remote(self) -> str:
        """An ``Ask``'s."""
        return self._place.remote

    def header(self, name: str) -> str | None:
        """An ``Ask``'s."""
        return self._headers.get(name)

    async def body(self, most: int) -> bytes:
        """An ``Ask``'s."""
        if len(self._body) > most:
            raise TooBig
        return self._body

    def take_over(
        self, key: bytes, make: Callable[[asyncio.Transport, bytes], P]
    ) -> tuple[P, bytes]:
        """An ``Ask``'s."""
        return self._place.leave(key, make)


def read(data: bytes, place: Place) -> tuple[Plain, str, bytes] | None:
    """The first request of ``data``, its path, and what is behind it; None where that is not plain
    or not whole.
    """
    found = _HEAD.match(data)
    if found is None or found.end() > HEAD_BYTES:
        return None
    method, target, path, asked, head = found.groups()
    query = _query(asked.decode())
    lines = [_line(line) for line in head[:-2].split(b"\r\n")] if head else []
    headers = {name.decode().lower(): value.decode() for name, value in lines}
    if query is None or len(headers) < len(lines) or not _usual(method, query, headers):
        return None
    end = found.end() + int(headers.get("content-length", 0))
    if len(data) < end:
        return None
    body = data[found.end() : end]
    ask = Plain(place, method.decode(), target.decode(), query, lines, headers, body)
    return ask, path.decode(), data[end:]


def _query(text: str) -> dict[str, str] | None:
    """None where a name is given twice."""
    pairs = [part.partition("=") for part in text.split("&") if part]
    query = {name: value for name, _, value in pairs}
    return query if len(query) == len(pairs) else None


def _line(line: bytes) -> tuple[bytes, bytes]:
    name, _, value = line.partition(b":")
    return name, value.strip()


def _usual(method: bytes, query: Mapping[str, str], headers: Mapping[str, str]) -> bool:
    """Whether a request is read as it stands."""
    if "host" not in headers or not _UNUSUAL.isdisjoint(headers):
        return False
    length = headers.get("content-length")
    if length is not None and not _LENGTH.fullmatch(length):
        return False
    if method == b"POST" and length is None:
        return False
    if method == b"GET" and length not in {None, "0"}:
        return False
    if query.get("transport") == "websocket":
        return headers.get("upgrade", "").lower() == "websocket"
    return "upgrade" not in headers and headers.get("connection", KEEP).lower() == KEEP

"""Where a Redis stands, by its URL."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from redis.asyncio.connection import parse_url

PORT = 6379
SENTINEL_PORT = 26_379


@dataclass(frozen=True, slots=True)
class Address:
    """``redis://host``, ``redis+sentinel://host,host/service`` or ``redis+cluster://host,host``,
    each with ``rediss`` for TLS; the rest is as the library's own URLs have it.
    """

    kind: str
    """``sentinel``, ``cluster``, or nothing for one that is alone."""
    hosts: Sequence[tuple[str, int]]
    service: str
    """What the sentinels call it."""
    tls: bool
    options: Mapping[str, Any]
    """What the library's connections are made with."""

    @classmethod
    def parse(cls, url: str) -> "Address":
        """Raises ``ValueError``."""
        parts = urlsplit(url)
        scheme, _, kind = parts.scheme.partition("+")
        service, _, database = parts.path.strip("/").partition("/")
        if kind != "sentinel":
            service, database = "", service
        login, at, hosts = parts.netloc.rpartition("@")
        plain = parts._replace(scheme=scheme, netloc=f"{login}{at}host", path=f"/{database}")
        options: dict[str, Any] = dict(parse_url(urlunsplit(plain)))
        for name in ("host", "connection_class"):
            options.pop(name, None)
        port = SENTINEL_PORT if kind == "sentinel" else PORT
        return cls(
            kind,
            [_host(host, port) for host in hosts.split(",")],
            unquote(service),
            scheme == "rediss",
            options,
        )


def _host(text: str, usual: int) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    return unquote(parts.hostname or "localhost"), parts.port or usual

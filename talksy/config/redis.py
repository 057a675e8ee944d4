"""Where Redis stands: what may be said of it."""

import os
import re
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, quote, urlsplit

PORT = 6379
FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
CHOICES = {
    "ssl_cert_reqs": ("none", "optional", "required"),
    "ssl_check_hostname": ("true", "false"),
}
PARAMETERS = (*FILES, *CHOICES)
"""What the URL may say behind its question mark, in the words of redis-py."""
KINDS = (
    "redis://host:6379/0, redis+sentinel://host,host/service or redis+cluster://host,host, with "
    "rediss for TLS"
)


def redis_at(host: str, port: int, password: str | None) -> str:
    """The URL of what the settings name in pieces."""
    login = f":{quote(password, safe='')}@" if password else ""
    return f"redis://{login}{f'[{host}]' if ':' in host else host}:{port}/0"


def check_redis(url: str) -> str:
    """``url`` as it is. Raises ``ValueError`` with what is wrong; its password stays unsaid."""
    try:
        parts = urlsplit(url)
        query = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        query = None
    if query is None or parts.fragment or parts.netloc.count("@") > 1:
        raise ValueError(
            "cannot be read: in its user and password each of : / ? # @ % is written as %xx, "
            "such as %40 for @"
        )
    scheme, _, kind = parts.scheme.partition("+")
    if scheme not in ("redis", "rediss") or kind not in ("", "sentinel", "cluster"):
        raise ValueError(f"is none of {KINDS}")
    _check_hosts(parts, kind)
    _check_path(parts, kind)
    for name, value in query:
        _check_parameter(name, value, tls=scheme == "rediss")
    return url


def _check_hosts(parts: SplitResult, kind: str) -> None:
    hosts = parts.netloc.rpartition("@")[2].split(",")
    if len(hosts) > 1 and not kind:
        raise ValueError(
            "names several servers: say redis+sentinel:// or redis+cluster://, or give one address"
        )
    for host in hosts:
        try:
            one = urlsplit(f"//{host}")
            known = bool(one.hostname) and one.port != 0
        except ValueError:
            known = False
        if not known:
            raise ValueError(f"has a host that cannot be read: give {KINDS}")


def _check_path(parts: SplitResult, kind: str) -> None:
    path = parts.path.removeprefix("/").removesuffix("/")
    if kind == "sentinel" and not re.fullmatch(r"[^/]+(/\d{1,5})?", path):
        raise ValueError(
            "names no service of the sentinels: give redis+sentinel://host,host/service"
        )
    if kind == "cluster" and path not in ("", "0"):
        raise ValueError("names a database, and a cluster has only one: leave it out")
    if not kind and not re.fullmatch(r"\d{0,5}", path):
        raise ValueError("has a database that is no number, such as redis://host:6379/0")


def _check_parameter(name: str, value: str, *, tls: bool) -> None:
    if name not in PARAMETERS:
        raise ValueError(f"has the unknown parameter {name}: there are {', '.join(PARAMETERS)}")
    if not tls:
        raise ValueError(f"has {name} without TLS: say rediss")
    if name in FILES and not (Path(value).is_file() and os.access(value, os.R_OK)):
        raise ValueError(f"names a file for {name} that cannot be read")
    if name in CHOICES and value.lower() not in CHOICES[name]:
        raise ValueError(f"has {name} that is none of {', '.join(CHOICES[name])}")

"""Where the database stands: what may be said of it, in the words of libpq's users."""

import os
import re
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
FILES = ("sslrootcert", "sslcert", "sslkey")
PARAMETERS = ("application_name", "channel_binding", "host", "sslmode", *FILES)
"""What a PostgreSQL URL may say behind its question mark."""


def check_database(url: str) -> str:
    """``url`` as it is. Raises ``ValueError`` with what is wrong; its password stays unsaid."""
    if url.startswith("sqlite:"):
        path = url.removeprefix("sqlite:///")
        if path in ("", url) or path.startswith(":memory:"):
            raise ValueError("names no file: give sqlite:///path")
    elif url.startswith(("postgresql://", "postgres://")):
        _check_postgres(url)
    else:
        raise ValueError(
            "is neither sqlite:///path nor postgresql://user:password@host/name: leave it unset "
            "for a file in DATA_DIR"
        )
    return url


def _check_postgres(url: str) -> None:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - it is parsed when it is read
        query = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        query = None
    if query is None or parts.fragment or parts.netloc.count("@") > 1:
        raise ValueError(
            "cannot be read: in its user and password each of : / ? # @ % is written as %xx, "
            "such as %40 for @"
        )
    if "," in parts.netloc:
        raise ValueError("names several servers: give the one address that leads to the primary")
    if not re.fullmatch(r"/[^/]+", parts.path):
        raise ValueError("names no database: give postgresql://user:password@host/name")
    for name, value in query:
        _check_parameter(name, value)


def _check_parameter(name: str, value: str) -> None:
    if name not in PARAMETERS:
        raise ValueError(f"has the unknown parameter {name}: there are {', '.join(PARAMETERS)}")
    if name == "sslmode" and value not in SSL_MODES:
        raise ValueError(f"has an sslmode that is none of {', '.join(SSL_MODES)}")
    if name == "channel_binding" and value not in ("disable", "prefer"):
        raise ValueError(
            "asks for channel_binding, which is not supported: sslmode=verify-full keeps others out"
        )
    if name == "host" and not value.startswith("/"):
        raise ValueError("has a host among its parameters that is no socket's folder")
    if name in FILES and (name, value) != ("sslrootcert", "system") and not _readable(value):
        raise ValueError(f"names a file for {name} that cannot be read")


def _readable(name: str) -> bool:
    return Path(name).is_file() and os.access(name, os.R_OK)

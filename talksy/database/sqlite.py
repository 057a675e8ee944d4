"""SQLite: a file in this machine, for one server."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

BUSY_MS = 2_000
"""How long SQLite waits for another process's write, in milliseconds."""


class InUse(Exception):
    """Another server has the embedded database."""


def sqlite_url(url: str) -> URL:
    """The driver's URL for a plain one, ``sqlite:///path``."""
    return make_url(url).set(drivername="sqlite+aiosqlite")


def sqlite_engine(url: URL, *, line_seconds: float) -> AsyncEngine:
    """Connections that know when a transaction is to write (``talksy_write``)."""
    # A statement in a log line or a traceback must not bring what people wrote.
    engine = create_async_engine(url, hide_parameters=True, pool_timeout=line_seconds)

    # SQLAlchemy's documentation, "Serializable isolation / Savepoints / Transactional DDL": the
    # driver is told to leave transactions alone, and we begin them ourselves. A write takes the
    # lock at once, since a read that turns into a write cannot wait for it.
    @event.listens_for(engine.sync_engine, "connect")
    def connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        # An acknowledged message survives a power cut, too.
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute(f"PRAGMA busy_timeout={BUSY_MS}")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Any) -> None:
        write = connection.get_execution_options().get("talksy_write")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine


def sqlite_away(error: DBAPIError) -> bool:
    """Whether the database is away, and not a fault of ours."""
    return isinstance(error, OperationalError | InterfaceError)


@contextmanager
def only_server(url: URL) -> Iterator[None]:
    """Holds the embedded database for this process. Raises ``InUse``."""
    if not url.database:
        yield
        return
    path = Path(f"{url.database}.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InUse(f"another Talksy serves from {url.database}: stop it first") from None
        yield

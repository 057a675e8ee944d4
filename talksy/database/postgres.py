"""PostgreSQL: the way to it, and what its errors mean.

Nothing here or above it outlives a transaction on the server's side: no prepared statement is kept,
nothing is set for a session. So it makes no difference whether a pooler stands between that lends a
connection for one transaction (PgBouncer, Supabase).
"""

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

import asyncpg
from sqlalchemy import Connection, event
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

T = TypeVar("T")

OLDEST = 14
"""The oldest version that is served: those before it get no more fixes, and 11 lacks a function."""
CONNECT_SECONDS = 2.0
"""How long a new connection may take, TLS and password included."""
SECONDS = 4.0
"""How long a transaction may take in all; then its connection is hung up on."""
CLOSE_SECONDS = 0.2
"""How long a goodbye may take."""
AGE_SECONDS = 200
"""A connection is replaced then: balancers forget the quiet ones, Azure's after 240 s."""

AWAY = ("08", "40", "53", "57", "58", "25006", "55P03")
"""SQLSTATE, its beginnings: the line, a rollback that is nobody's fault, no room, an operator at
work, the machine below it, a server that only reads (a failover is under way), a lock that was not
to be had in time."""
CLASHES = ("40001", "40P01")
READ_ONLY = "25006"


class Unreachable(Exception):
    """There is no connection to be had to the database."""


class Unfit(Exception):
    """The database answers, and cannot do what is needed of it."""


class Lines:
    """Transactions on a server, each on a connection of its own."""

    def __init__(self, url: str, *, pool_size: int, line_seconds: float) -> None:
        """One connection beside the ``pool_size`` is for what must not wait behind others; who
        waits ``line_seconds`` for one is refused.
        """
        self.engine = postgres_engine(url, pool_size=pool_size, line_seconds=line_seconds)
        self._apart = postgres_engine(url, pool_size=1, line_seconds=line_seconds)

    async def read(self, look: Callable[[Connection], T]) -> T:
        """What ``look`` finds, in one consistent view."""
        async with self._connection(self.engine) as connection:
            await connection.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
            return await connection.run_sync(look)

    async def write(self, work: Callable[[Connection], T], *, apart: bool = False) -> T:
        """What ``work`` returns, once that is committed."""
        engine = self._apart if apart else self.engine
        async with self._connection(engine) as connection, connection.begin():
            return await connection.run_sync(work)

    async def close(self) -> None:
        """Hangs up."""
        await self.engine.dispose()
        await self._apart.dispose()

    @asynccontextmanager
    async def _connection(self, engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
        """A connection that is hung up on where its transaction takes too long."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + SECONDS
        # Around the connection and not inside it: what ends the transaction is sent when it is
        # given back, and may be swallowed as well.
        with ExitStack() as clocks:
            async with engine.connect() as connection:
                line: Any = (await connection.get_raw_connection()).driver_connection
                # Hung up on, and not cancelled: a cancelled statement asks the server to stop it,
                # and waits for its word.
                clocks.callback(loop.call_at(deadline, line.terminate).cancel)
                yield connection


class Line(asyncpg.Connection):
    """A connection whose end waits for nobody: what does not answer is hung up on."""

    async def close(self, *, timeout: float | None = CLOSE_SECONDS) -> None:
        # Closed it is, too, where its time runs out.
        with suppress(TimeoutError):
            await super().close(timeout=min(timeout or CLOSE_SECONDS, CLOSE_SECONDS))


def postgres_engine(url: str, *, pool_size: int, line_seconds: float) -> AsyncEngine:
    """Connections to ``url``, a libpq URL whose parameters were checked.

    There are ``pool_size`` at most; who waits longer than ``line_seconds`` for one is refused.
    """
    where, options = _target(url)

    async def connect(**_: Any) -> asyncpg.Connection:
        try:
            return await asyncpg.connect(
                timeout=CONNECT_SECONDS,
                # Statements have no names then, and are sent whole each time, in the one trip that
                # runs them; what SQLAlchemy remembers of them is their description.
                statement_cache_size=0,
                connection_class=Line,
                **options,
            )
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise Unreachable(f"cannot reach the database at {where}: {_reason(error)}") from error

    engine = create_async_engine(
        # Without user, password and host: they can be printed by nobody who has the engine.
        "postgresql+asyncpg://",
        connect_args={"async_creator_fn": connect},
        # A statement in a log line or a traceback must not bring what people wrote.
        hide_parameters=True,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=line_seconds,
        pool_recycle=AGE_SECONDS,
    )

    @event.listens_for(engine.sync_engine, "checkout")
    def checkout(connection: Any, _record: Any, _proxy: Any) -> None:
        # The server hung up while nobody used it, for a restart say: the pool makes a new one.
        if connection.driver_connection.is_closed():
            raise DisconnectionError

    @event.listens_for(engine.sync_engine, "handle_error")
    def handle_error(context: Any) -> None:
        # Who serves now is elsewhere: none of the connections leads there.
        if _state(context.sqlalchemy_exception) == READ_ONLY:
            context.is_disconnect = True

    return engine


def check_version(version: Sequence[int | str]) -> None:
    """Raises ``Unfit`` for a server that is too old."""
    if int(version[0]) < OLDEST:
        told = ".".join(map(str, version))
        raise Unfit(f"PostgreSQL {told} is too old: version {OLDEST} or a newer one is needed")


def postgres_away(error: DBAPIError) -> bool:
    """Whether the database is away, and not a fault of ours."""
    return error.connection_invalidated or (_state(error) or "").startswith(AWAY)


def clashed(error: BaseException | None) -> bool:
    """Whether two transactions stood in each other's way: nothing of this one was kept."""
    return _state(error) in CLASHES


def _state(error: BaseException | None) -> str | None:
    return getattr(error.orig, "sqlstate", None) if isinstance(error, DBAPIError) else None


def _target(url: str) -> tuple[str, dict[str, Any]]:
    """Where ``url`` leads, in words that may be printed, and what the driver is given."""
    parts = urlsplit(url)
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    where = query.get("host") or f"{parts.hostname or 'localhost'}:{parts.port or 5432}"
    options: dict[str, Any] = {
        "server_settings": {"application_name": query.pop("application_name", "talksy")}
    }
    query.pop("channel_binding", None)
    if query.get("sslrootcert") == "system":
        # What libpq means by it: the machine's own authorities, and the host's name is checked.
        del query["sslrootcert"]
        options["ssl"] = ssl.create_default_context()
    options["dsn"] = urlunsplit(parts._replace(query=urlencode(query)))
    return where, options


def _reason(error: Exception) -> str:
    """Why there is no connection, in a line."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is refused, {error.verify_message} (see sslrootcert and sslmode)"
    if isinstance(error, TimeoutError):
        return f"no answer within {CONNECT_SECONDS:g} s"
    if isinstance(error, OSError) and error.errno and not isinstance(error, socket.gaierror):
        return os.strerror(error.errno)
    return (getattr(error, "strerror", None) or str(error)).partition("\n")[0] or "no reason given"

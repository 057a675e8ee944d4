"""The connection to the durable truth: one engine, a way to read and a way to write."""

import asyncio
import fcntl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Self

import structlog
from sqlalchemy import event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from talksy.database.migrate import migrate
from talksy.errors import Overloaded

log = structlog.get_logger(__name__)

BUSY_MS = 2_000
"""How long SQLite waits for another process's write, in milliseconds."""
TURN_SECONDS = 2.0
"""How long a write waits for those before it."""


class InUse(Exception):
    """Another server has the embedded database."""


def engine_url(url: str) -> URL:
    """The driver's URL for a plain one, ``sqlite:///path``."""
    parsed = make_url(url)
    drivers = {"sqlite": "sqlite+aiosqlite"}
    return parsed.set(drivername=drivers.get(parsed.drivername, parsed.drivername))


class Database:
    """Reads and writes in transactions. On SQLite one write at a time, in the order asked."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._lock = asyncio.Lock() if engine.dialect.name == "sqlite" else None
        self._writable = True
        """Whether the last write went through."""

    @classmethod
    @asynccontextmanager
    async def open(
        cls, url: str, *, upgrade: bool = True, exclusive: bool = False
    ) -> AsyncIterator[Self]:
        """Opens the database at ``url`` and, with ``upgrade``, brings its tables up to date first.

        ``exclusive`` is for the one server that may run on an embedded database. Raises
        ``SchemaError`` when the tables are older or newer than this version of the code needs, and
        ``InUse`` when another server has the database.
        """
        target = engine_url(url)
        with only_server(target) if exclusive else nullcontext():
            await asyncio.to_thread(migrate, target, upgrade=upgrade)
            # A statement in a log line or a traceback must not bring what people wrote.
            engine = create_async_engine(target, hide_parameters=True, pool_timeout=TURN_SECONDS)
            if engine.dialect.name == "sqlite":
                _tune_sqlite(engine)
            try:
                yield cls(engine)
            finally:
                await engine.dispose()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """One consistent view. Raises ``Overloaded`` where the database is away."""
        with _away():
            async with self._engine.connect() as connection:
                yield connection

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """One transaction: committed at the end of the block, rolled back if it raises.

        Raises ``Overloaded`` where the database is away.
        """
        async with self._turn():
            try:
                with _away():
                    async with self._engine.connect() as connection:
                        await connection.execution_options(talksy_write=True)
                        async with connection.begin():
                            yield connection
            except Overloaded:
                self._writable = False
                raise
            self._writable = True

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """On SQLite one write at a time; who waits too long for it is told so."""
        if self._lock is None:
            yield
            return
        try:
            async with asyncio.timeout(TURN_SECONDS):
                await self._lock.acquire()
        except TimeoutError:
            log.warning("database_busy")
            raise Overloaded(retry_after=1) from None
        try:
            yield
        finally:
            self._lock.release()

    async def ping(self) -> None:
        """Returns when the database answers, and writes where the last write failed.

        Raises ``Overloaded``.
        """
        async with self.read() if self._writable else self.write() as connection:
            await connection.execute(text("SELECT 1"))


@contextmanager
def _away() -> Iterator[None]:
    """Tells clients of a database that is away what they can do about it: try again."""
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeout) as error:
        log.warning("database_away", error=type(error).__name__, reason=str(error.args[0])[:200])
        raise Overloaded(retry_after=1) from error


@contextmanager
def only_server(url: URL) -> Iterator[None]:
    """Holds the embedded database for this process. Raises ``InUse``."""
    if url.get_backend_name() != "sqlite" or not url.database:
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


def _tune_sqlite(engine: AsyncEngine) -> None:
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

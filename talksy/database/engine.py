"""The connection to the durable truth: one engine, a way to read and a way to write."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from typing import Any, Self

from sqlalchemy import event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from talksy.database.migrate import migrate

BUSY_MS = 5_000
"""How long SQLite waits for another process's write, in milliseconds."""


def engine_url(url: str) -> URL:
    """The driver's URL for a plain one: ``sqlite:///path`` or ``postgresql://…``."""
    parsed = make_url(url)
    drivers = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}
    return parsed.set(drivername=drivers.get(parsed.drivername, parsed.drivername))


class Database:
    """Reads and writes in transactions. On SQLite one write at a time, in the order asked."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._writing = asyncio.Lock() if engine.dialect.name == "sqlite" else None

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, *, upgrade: bool = True) -> AsyncIterator[Self]:
        """Opens the database at ``url`` and, with ``upgrade``, brings its tables up to date first.

        Raises ``SchemaError`` when they are older or newer than this version of the code needs.
        """
        target = engine_url(url)
        await asyncio.to_thread(migrate, target, upgrade=upgrade)
        engine = create_async_engine(target)
        if engine.dialect.name == "sqlite":
            _tune_sqlite(engine)
        try:
            yield cls(engine)
        finally:
            await engine.dispose()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """One consistent view."""
        async with self._engine.connect() as connection:
            yield connection

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """One transaction: committed at the end of the block, rolled back if it raises."""
        async with self._writing or nullcontext(), self._engine.connect() as connection:
            await connection.execution_options(talksy_write=True)
            async with connection.begin():
                yield connection

    async def ping(self) -> None:
        """Returns when the database answers; raises what it says otherwise."""
        async with self.read() as connection:
            await connection.execute(text("SELECT 1"))


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

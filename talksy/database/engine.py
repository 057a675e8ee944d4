"""The connection to the durable truth: one engine, a way to read and a way to write."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, nullcontext
from functools import wraps
from time import perf_counter, time
from typing import Any, ParamSpec, Self, TypeVar

import structlog
from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from talksy.database.clock import now_ms
from talksy.database.migrate import migrate_file, migrate_server
from talksy.database.postgres import (
    Unfit,
    Unreachable,
    clashed,
    postgres_away,
    postgres_engine,
)
from talksy.database.sqlite import only_server, sqlite_away, sqlite_engine, sqlite_url
from talksy.errors import Overloaded
from talksy.metrics import Metrics

log = structlog.get_logger(__name__)

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

TURN_SECONDS = 2.0
"""How long a write waits for those before it, and anybody for a connection."""
SECONDS = 4.0
"""How long a transaction on a server may take in all; then its connection is hung up on."""
LOCK_MS = 3_000
"""How long it waits for a lock: less, so that the connection may be kept."""
IDLE_MS = 10_000
"""After so long without a word from us the server gives our locks to others."""
PAUSES = (0.02, 0.1, 0.5)
"""Seconds at most before a transaction is tried again."""


class Database:
    """Reads and writes in transactions. On SQLite one write at a time, in the order asked."""

    def __init__(
        self,
        engine: AsyncEngine,
        metrics: Metrics | None = None,
        *,
        apart: AsyncEngine | None = None,
    ) -> None:
        """``apart`` is a connection for what must not wait behind others."""
        self._engine = engine
        self._apart = apart or engine
        self._metrics = metrics or Metrics()
        embedded = engine.dialect.name == "sqlite"
        self._lock = asyncio.Lock() if embedded else None
        self._away = sqlite_away if embedded else postgres_away
        self._writable = True
        """Whether the last write went through."""

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        url: str,
        *,
        upgrade: bool = True,
        exclusive: bool = False,
        pool_size: int = 10,
        metrics: Metrics | None = None,
    ) -> AsyncIterator[Self]:
        """Opens the database at ``url`` and, with ``upgrade``, brings its tables up to date first.

        ``exclusive`` is for the one server that may run on an embedded database; ``pool_size``
        bounds the connections to any other, beside the one that leases have. Raises ``SchemaError``
        when the tables are older or newer than this version of the code needs, ``InUse`` when
        another server has the database, ``Unfit`` when it is too old or lets nobody in to its
        tables, and ``Unreachable``.
        """
        if url.startswith("sqlite"):
            file = sqlite_url(url)
            with only_server(file) if exclusive else nullcontext():
                try:
                    await asyncio.to_thread(migrate_file, file, upgrade=upgrade)
                except DBAPIError as error:
                    fault = f"cannot open the database {file.database}: {error.orig}"
                    raise Unreachable(fault) from error
                async with _disposed(sqlite_engine(file, line_seconds=TURN_SECONDS)) as engine:
                    yield cls(engine, metrics)
        else:
            server = postgres_engine(url, pool_size=pool_size, line_seconds=TURN_SECONDS)
            single = postgres_engine(url, pool_size=1, line_seconds=TURN_SECONDS)
            async with _disposed(server) as engine, _disposed(single) as apart:
                try:
                    await migrate_server(engine, upgrade=upgrade)
                except DBAPIError as error:
                    reason = str(error.orig).partition("\n")[0]
                    raise Unfit(f"the database does not let itself be read: {reason}") from error
                yield cls(engine, metrics, apart=apart)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """One consistent view. Raises ``Overloaded`` where the database is away."""
        with self._counted("read"):
            async with self._connection() as connection:
                if self._lock is None:
                    await connection.execution_options(
                        isolation_level="REPEATABLE READ", postgresql_readonly=True
                    )
                yield connection

    @asynccontextmanager
    async def write(self, *, apart: bool = False) -> AsyncIterator[AsyncConnection]:
        """One transaction: committed at the end of the block, rolled back if it raises. ``apart``
        is for a node's lease: it does not wait for a connection behind everybody else.

        Raises ``Overloaded`` where the database is away. It may have been committed all the same
        where that was noticed at the very end.
        """
        with self._counted("write"):
            async with self._turn():
                try:
                    async with self._connection(apart=apart) as connection:
                        await connection.execution_options(talksy_write=True)
                        async with connection.begin():
                            yield connection
                except Overloaded:
                    self._writable = False
                    raise
                self._writable = True

    @contextmanager
    def _counted(self, kind: str) -> Iterator[None]:
        started, overloaded = perf_counter(), False
        try:
            yield
        except Overloaded:
            overloaded = True
            raise
        finally:
            seconds = perf_counter() - started
            self._metrics.transaction(kind, seconds, overloaded=overloaded)

    @asynccontextmanager
    async def _connection(self, *, apart: bool = False) -> AsyncIterator[AsyncConnection]:
        """A connection that is hung up on where its transaction takes too long."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + SECONDS
        # Around the connection and not inside it: what ends the transaction is sent when it is
        # given back, and may be swallowed as well.
        with self._told(), ExitStack() as clocks:
            engine = self._apart if apart else self._engine
            async with engine.connect() as connection:
                if self._lock is None:
                    line: Any = (await connection.get_raw_connection()).driver_connection
                    # Hung up on, and not cancelled: a cancelled statement asks the server to stop
                    # it, and waits for its word.
                    clocks.callback(loop.call_at(deadline, line.terminate).cancel)
                yield connection

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

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Tells clients of a database that is away what they can do about it: try again."""
        try:
            yield
        except (DBAPIError, PoolTimeout, Unreachable) as error:
            if isinstance(error, DBAPIError) and not self._away(error):
                raise
            told = error.orig if isinstance(error, DBAPIError) else error
            reason = str(told).partition("\n")[0][:200]
            log.warning("database_away", error=type(error).__name__, reason=reason)
            raise Overloaded(retry_after=1) from error

    async def ping(self) -> int:
        """By how many milliseconds the database's clock is ahead of ours, when it answers and would
        take a write. Raises ``Overloaded``.
        """
        if self._lock is not None:
            async with self.read() if self._writable else self.write() as connection:
                return await ahead_ms(connection)
        async with self.write() as connection:
            asked = await connection.execute(select(func.current_setting("transaction_read_only")))
            if asked.scalar_one() == "on":
                log.warning("database_away", reason="it only reads")
                raise Overloaded(retry_after=1)
            return await ahead_ms(connection)


async def ahead_ms(connection: AsyncConnection) -> int:
    """By how much the database's clock is ahead of ours."""
    asked = time()
    theirs = (await connection.execute(select(now_ms()))).scalar_one()
    return round(theirs - (asked + time()) * 500)


async def alone(connection: AsyncConnection, name: str) -> None:
    """Waits until no other transaction is alone under ``name``, on whichever node, and keeps that
    to the transaction's end. Begin with it: what is read after it is what the others left.
    """
    if connection.dialect.name == "sqlite":
        return  # all writes are
    await connection.execute(
        select(
            # A node that stands still or is cut off shall not keep the others waiting.
            func.set_config("idle_in_transaction_session_timeout", str(IDLE_MS), True),
            func.set_config("lock_timeout", str(LOCK_MS), True),
            func.pg_advisory_xact_lock(func.hashtextextended(name, 0)),
        )
    )


def again(
    method: Callable[Arguments, Coroutine[Any, Any, Result]],
) -> Callable[Arguments, Coroutine[Any, Any, Result]]:
    """A method of one transaction, tried again where another stood in its way."""

    @wraps(method)
    async def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        for pause in PAUSES:
            try:
                return await method(*args, **kwargs)
            except Overloaded as error:
                if not clashed(error.__cause__):
                    raise
            await asyncio.sleep(random.uniform(0, pause))  # noqa: S311 - no secret
        return await method(*args, **kwargs)

    return call


@asynccontextmanager
async def _disposed(engine: AsyncEngine) -> AsyncIterator[AsyncEngine]:
    try:
        yield engine
    finally:
        await engine.dispose()

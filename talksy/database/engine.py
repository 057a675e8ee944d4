"""The connection to the durable truth: a way to read and a way to write, in transactions.

What is done in one is a function that is given the connection, and that awaits nothing.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from functools import wraps
from time import perf_counter, time
from typing import Any, Concatenate, ParamSpec, Protocol, Self, TypeVar

import structlog
from sqlalchemy import ARRAY, ColumnElement, Connection, Select, String, bindparam, func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from talksy.database.clock import now_ms
from talksy.database.migrate import migrate_file, migrate_server
from talksy.database.postgres import Lines, Unfit, Unreachable, clashed, postgres_away
from talksy.database.sqlite import File, only_server, sqlite_away, sqlite_url
from talksy.errors import Overloaded
from talksy.metrics import Metrics

log = structlog.get_logger(__name__)

Arguments = ParamSpec("Arguments")
T = TypeVar("T")

TURN_SECONDS = 2.0
"""How long a write waits for those before it, and anybody for a connection."""
LOCK_MS = 3_000
"""How long a transaction on a server waits for a lock: less than it may take in all, so that the
connection may be kept."""
IDLE_MS = 10_000
"""After so long without a word from us the server gives our locks to others."""
PAUSES = (0.02, 0.1, 0.5)
"""Seconds at most before a transaction is tried again."""


class Database:
    """Reads and writes in transactions. On SQLite one write at a time, in the order asked."""

    def __init__(self, store: File | Lines, metrics: Metrics | None = None) -> None:
        self.store = store
        self._metrics = metrics or Metrics()
        self._away = sqlite_away if isinstance(store, File) else postgres_away
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
                async with _closed(File(file, line_seconds=TURN_SECONDS)) as store:
                    yield cls(store, metrics)
        else:
            lines = Lines(url, pool_size=pool_size, line_seconds=TURN_SECONDS)
            async with _closed(lines) as store:
                try:
                    await migrate_server(store.engine, upgrade=upgrade)
                except DBAPIError as error:
                    reason = str(error.orig).partition("\n")[0]
                    raise Unfit(f"the database does not let itself be read: {reason}") from error
                yield cls(store, metrics)

    async def read(self, look: Callable[[Connection], T]) -> T:
        """What ``look`` finds, in one consistent view.

        Raises ``Overloaded`` where the database is away.
        """
        with self._counted("read"), self._told():
            return await self.store.read(look)

    async def write(self, work: Callable[[Connection], T], *, apart: bool = False) -> T:
        """What ``work`` returns, once that is committed; what it did is undone if it raises.
        Where another transaction stood in its way it is done again from the start. ``apart`` is for
        a node's lease: it does not wait for a connection behind everybody else.

        Raises ``Overloaded`` where the database is away. It may have been committed all the same
        where that was noticed at the very end.
        """
        for pause in PAUSES:
            try:
                return await self._write(work, apart)
            except Overloaded as error:
                if not clashed(error.__cause__):
                    raise
            await asyncio.sleep(random.uniform(0, pause))  # noqa: S311 - no secret
        return await self._write(work, apart)

    async def _write(self, work: Callable[[Connection], T], apart: bool) -> T:
        with self._counted("write"):
            try:
                with self._told():
                    done = await self.store.write(work, apart=apart)
            except Overloaded as error:
                # Who could not even try says nothing of it.
                self._writable = self._writable and isinstance(error.__cause__, TimeoutError)
                raise
            self._writable = True
            return done

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

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Tells clients of a database that is away what they can do about it: try again."""
        try:
            yield
        except TimeoutError as error:
            log.warning("database_busy")
            raise Overloaded(retry_after=1) from error
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
        if isinstance(self.store, Lines):
            return await self.write(_ahead_where_writable)
        return await (self.read(ahead_ms) if self._writable else self.write(ahead_ms))


def _ahead_where_writable(connection: Connection) -> int:
    asked = connection.execute(select(func.current_setting("transaction_read_only")))
    if asked.scalar_one() == "on":
        log.warning("database_away", reason="it only reads")
        raise Overloaded(retry_after=1)
    return ahead_ms(connection)


def ahead_ms(connection: Connection) -> int:
    """By how much the database's clock is ahead of ours."""
    asked = time()
    theirs = connection.execute(select(now_ms())).scalar_one()
    return round(theirs - (asked + time()) * 500)


_idle, _lock = bindparam("idle", type_=String), bindparam("lock", type_=String)


def _locking(name: ColumnElement[str]) -> Select[Any]:
    return select(
        # A node that stands still or is cut off shall not keep the others waiting.
        func.set_config("idle_in_transaction_session_timeout", _idle, True),
        func.set_config("lock_timeout", _lock, True),
        func.pg_advisory_xact_lock(func.hashtextextended(name, 0)),
    )


_ALONE = _locking(bindparam("name", type_=String))
# To send a list costs half as much again, in CPU, as the rest of it.
_ALL_ALONE = _locking(func.unnest(bindparam("names", type_=ARRAY(String))).column_valued("name"))


def alone(connection: Connection, *names: str) -> None:
    """Waits until no other transaction is alone under one of ``names``, on whichever node, and
    keeps that to the transaction's end. Begin with it: what is read after it is what the others
    left. Several names are given in their order, so that two cannot wait for each other.
    """
    if connection.dialect.name == "sqlite":
        return  # all writes are
    limits = {"idle": str(IDLE_MS), "lock": str(LOCK_MS)}
    if len(names) == 1:
        connection.execute(_ALONE, {**limits, "name": names[0]})
    else:
        connection.execute(_ALL_ALONE, {**limits, "names": list(names)})


class Rows(Protocol):
    """Has a database."""

    _database: Database


R = TypeVar("R", bound=Rows)


def reads(
    method: Callable[Concatenate[R, Connection, Arguments], T],
) -> Callable[Concatenate[R, Arguments], Coroutine[Any, Any, T]]:
    """A method that looks at the rows, in one transaction whose connection it is given."""

    @wraps(method)
    async def call(self: R, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> T:
        return await self._database.read(lambda found: method(self, found, *args, **kwargs))

    return call


def writes(
    method: Callable[Concatenate[R, Connection, Arguments], T],
) -> Callable[Concatenate[R, Arguments], Coroutine[Any, Any, T]]:
    """A method that changes them: as ``reads``."""

    @wraps(method)
    async def call(self: R, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> T:
        return await self._database.write(lambda found: method(self, found, *args, **kwargs))

    return call


Closing = TypeVar("Closing", bound="File | Lines")


@asynccontextmanager
async def _closed(store: Closing) -> AsyncIterator[Closing]:
    try:
        yield store
    finally:
        await store.close()

"""SQLite: a file in this machine, for one server."""

import asyncio
import fcntl
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from talksy.database.ferry import Failed, Ferry

T = TypeVar("T")
Work = Callable[[Connection], Any]

BUSY_MS = 2_000
"""How long SQLite waits for another process's write, in milliseconds."""
READERS = 2
TOGETHER = 100
"""So many are done in one transaction: all of them wait for its end."""


class InUse(Exception):
    """Another server has the embedded database."""


def sqlite_url(url: str) -> URL:
    """The driver's URL for a plain one, ``sqlite:///path``."""
    return make_url(url).set(drivername="sqlite+pysqlite")


class File:
    """Transactions on a file: one thread writes and a few read, which do not wait for it.

    Writes that were asked for meanwhile are committed together: what waits for the disk is the
    crowd and not each of it.
    """

    def __init__(self, url: URL, *, line_seconds: float) -> None:
        """Who has waited ``line_seconds`` for those before is refused."""
        self._engine = _engine(url)
        self._threads: list[ThreadPoolExecutor] = []
        self._connections: set[Connection] = set()
        self._writer = self._ferry(_write, line_seconds)
        self._readers = [self._ferry(_read, line_seconds) for _ in range(READERS)]

    def _ferry(
        self, do: Callable[[Connection, Sequence[Work]], Sequence[Any]], seconds: float
    ) -> Ferry[Work, Any]:
        """The way to a thread that does what is asked of it, on a connection of its own: to take
        one from a pool and give it back each time is a quarter of what a transaction takes.
        """
        thread = ThreadPoolExecutor(1, thread_name_prefix="database")
        self._threads.append(thread)
        own: Connection | None = None

        def transact(works: Sequence[Work]) -> Sequence[Any]:
            nonlocal own
            if own is None:
                own = self._engine.connect()
                self._connections.add(own)
            try:
                return do(own, works)
            except BaseException:
                # The pool makes sure that nothing is left open, also where a commit failed.
                self._connections.discard(own)
                own.close()
                own = None
                raise

        def cross(works: Sequence[Work]) -> asyncio.Future[Sequence[Any]]:
            return asyncio.get_running_loop().run_in_executor(thread, transact, works)

        return Ferry(cross, most=TOGETHER, seconds=seconds)

    @property
    def waiting(self) -> int:
        """How many writes wait for the one that is under way."""
        return len(self._writer)

    async def read(self, look: Callable[[Connection], T]) -> T:
        """What ``look`` finds, in one consistent view. Raises ``TimeoutError``."""
        found: T = await min(self._readers, key=_load).carry(look)
        return found

    async def write(self, work: Callable[[Connection], T], *, apart: bool = False) -> T:  # noqa: ARG002 - all wait
        """What ``work`` returns, once that is on the disk. Raises ``TimeoutError``."""
        done: T = await self._writer.carry(work)
        return done

    async def close(self) -> None:
        """Ends what is under way, and closes the file."""
        for thread in self._threads:
            await asyncio.to_thread(thread.shutdown)
        for connection in self._connections:
            connection.close()
        self._engine.dispose()


# ---- in a thread


def _read(connection: Connection, looks: Sequence[Work]) -> Sequence[Any]:
    with connection.begin():
        return [_done(look, connection) for look in looks]


def _write(connection: Connection, works: Sequence[Work]) -> Sequence[Any]:
    connection.execution_options(talksy_write=True)
    with connection.begin():
        if len(works) == 1:
            return [works[0](connection)]
        return [_one_of_many(work, connection) for work in works]


def _load(ferry: Ferry[Work, Any]) -> int:
    return ferry.load


def _done(work: Work, connection: Connection) -> Any:
    try:
        return work(connection)
    except Exception as error:  # noqa: BLE001 - it is raised where it was asked for
        return Failed(error)


def _one_of_many(work: Work, connection: Connection) -> Any:
    """One that fails takes no other along."""
    try:
        with connection.begin_nested():
            return work(connection)
    except Exception as error:
        driver: Any = connection.connection.driver_connection
        if not driver.in_transaction:
            raise  # SQLite has given up all of it: the disk is full, say
        return Failed(error)


def _engine(url: URL) -> Engine:
    """Connections that know when a transaction is to write (``talksy_write``)."""
    # A statement in a log line or a traceback must not bring what people wrote.
    engine = create_engine(url, hide_parameters=True)

    # SQLAlchemy's documentation, "Serializable isolation / Savepoints / Transactional DDL": the
    # driver is told to leave transactions alone, and we begin them ourselves. A write takes the
    # lock at once, since a read that turns into a write cannot wait for it.
    @event.listens_for(engine, "connect")
    def connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        # An acknowledged message survives a power cut, too.
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute(f"PRAGMA busy_timeout={BUSY_MS}")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
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

"""The databases that every promise about rows is kept by, each empty and up to date.

Tables are made once a database and copied, since making them takes longer than most tests.
"""

import asyncio
import itertools
import os
import shutil
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, closing, contextmanager
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import Connection

from talksy.database import Database
from talksy.database.migrate import migrate_file
from talksy.database.sqlite import File, sqlite_url
from tests.postgres import Postgres, given_postgres, running_postgres

DATABASES = ["sqlite", "postgres"]

Fresh = Callable[[], AbstractContextManager[str]]
"""Makes an empty database that nobody else uses, and gives its URL."""

_numbers = itertools.count()


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty SQLite file with all tables."""
    path = tmp_path_factory.mktemp("template") / "talksy.db"
    migrate_file(sqlite_url(f"sqlite:///{path}"))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    return path


@pytest.fixture
def file(template: Path, tmp_path: Path) -> Path:
    """A SQLite file of the test's own."""
    return Path(shutil.copy(template, tmp_path / "talksy.db"))


@pytest.fixture
def url(file: Path) -> str:
    """Where that file stands, for tests of what is built on a database."""
    return f"sqlite:///{file}"


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    """The database at ``url``, open."""
    async with Database.open(url, upgrade=False) as opened:
        yield opened


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite waits 20 ms for other processes: for tests in which one holds the file. A commit of
    another node may take as long as half of that.
    """
    monkeypatch.setattr("talksy.database.sqlite.BUSY_MS", 20)


@asynccontextmanager
async def locked(file: Path) -> AsyncIterator[None]:
    """Another process is writing, and does not end."""
    other = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    with closing(other):
        # In a thread: what is being written now needs the loop to come to its end.
        await asyncio.to_thread(other.execute, "BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


@asynccontextmanager
async def writing(
    database: Database, work: Callable[[Connection], object] = lambda _rows: None
) -> AsyncIterator[File]:
    """A write of this node is under way in a file, and does ``work`` when the block ends."""
    assert isinstance(database.store, File)
    began, go_on = threading.Event(), threading.Event()

    def wait(connection: Connection) -> None:
        began.set()
        assert go_on.wait(5)
        work(connection)

    writes = asyncio.create_task(database.write(wait))
    await asyncio.to_thread(began.wait, 5)
    try:
        yield database.store
    finally:
        go_on.set()
        await writes


async def until(condition: Callable[[], object]) -> None:
    """Waits for what no event tells of."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.002)


# ---- PostgreSQL


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest) -> Iterator[Postgres]:
    """The server of all tests that need one."""
    given = given_postgres()
    if given is not None:
        _print(request, given)
        yield given
        return
    with running_postgres() as server:
        _print(request, server)
        yield server


@pytest.fixture(scope="session")
def tables(postgres: Postgres) -> Iterator[str]:
    """An empty database with all tables, to be copied."""
    with made(postgres) as name:

        async def fill() -> None:
            async with Database.open(postgres.url(name)):
                pass

        asyncio.run(fill())
        yield name


@contextmanager
def made(postgres: Postgres, template: str = "template0") -> Iterator[str]:
    """A database of the test's own, a copy of ``template``; its name."""
    name = f"talksy_test_{os.getpid()}_{next(_numbers)}"
    asyncio.run(_order(postgres, f"CREATE DATABASE {name} TEMPLATE {template}"))
    try:
        yield name
    finally:
        asyncio.run(_order(postgres, f"DROP DATABASE {name} WITH (FORCE)"))


async def _order(postgres: Postgres, statement: str) -> None:
    async with line(postgres.url("postgres")) as connection:
        await connection.execute(statement)


@pytest.fixture
def postgres_url(postgres: Postgres, tables: str) -> Iterator[str]:
    """An empty PostgreSQL database with all tables."""
    with made(postgres, tables) as name:
        yield postgres.url(name)


@pytest.fixture
def bare(postgres: Postgres) -> Iterator[str]:
    """A PostgreSQL database without tables."""
    with made(postgres) as name:
        yield postgres.url(name)


@asynccontextmanager
async def line(url: str) -> AsyncIterator[asyncpg.Connection]:
    """Somebody else's connection to a database of PostgreSQL."""
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


@pytest.fixture(params=DATABASES)
def fresh(request: pytest.FixtureRequest, tmp_path: Path) -> Fresh:
    """The same with each kind of database."""
    if request.param == "postgres":
        postgres: Postgres = request.getfixturevalue("postgres")
        tables: str = request.getfixturevalue("tables")

        @contextmanager
        def new() -> Iterator[str]:
            with made(postgres, tables) as name:
                yield postgres.url(name)
    else:
        template: Path = request.getfixturevalue("template")

        @contextmanager
        def new() -> Iterator[str]:
            yield f"sqlite:///{shutil.copy(template, tmp_path / f'{next(_numbers)}.db')}"

    return new


def _print(request: pytest.FixtureRequest, postgres: Postgres) -> None:
    reporter = request.config.pluginmanager.getplugin("terminalreporter")
    reporter.write_line(f"\nPostgreSQL: {postgres.name}")

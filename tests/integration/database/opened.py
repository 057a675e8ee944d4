"""The databases that every promise about rows is kept by, each empty and up to date.

SQLite's tables are made once and copied, since making them takes longer than most tests.
"""

import asyncio
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from talksy.database import Database
from talksy.database.engine import engine_url
from talksy.database.migrate import migrate

DATABASES = ["sqlite"]


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty SQLite file with all tables."""
    path = tmp_path_factory.mktemp("template") / "talksy.db"
    migrate(engine_url(f"sqlite:///{path}"))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    return path


@pytest.fixture
def file(template: Path, tmp_path: Path) -> Path:
    """A SQLite file of the test's own."""
    return Path(shutil.copy(template, tmp_path / "talksy.db"))


@pytest.fixture(params=DATABASES)
def url(request: pytest.FixtureRequest) -> str:
    """Where a database stands that nobody else uses."""
    path: Path = request.getfixturevalue("file")
    return f"sqlite:///{path}"


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    """That database, open."""
    async with Database.open(url, upgrade=False) as opened:
        yield opened


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite waits a millisecond for other processes: for tests in which one holds the file."""
    monkeypatch.setattr("talksy.database.engine.BUSY_MS", 1)


@asynccontextmanager
async def locked(file: Path) -> AsyncIterator[None]:
    """Another process is writing, and does not end."""
    other = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    with closing(other):
        # In a thread: what is being written now needs the loop to come to its end.
        await asyncio.to_thread(other.execute, "BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


async def until(condition: Callable[[], object]) -> None:
    """Waits for what no event tells of."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.002)

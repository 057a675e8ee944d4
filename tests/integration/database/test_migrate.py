"""Tables are brought up to date, or it is said that they are not."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine

from talksy.database import Database, SchemaError
from talksy.database.engine import engine_url
from talksy.database.migrate import MIGRATIONS, migrate
from talksy.database.migrate import _config as config_on
from talksy.database.tables import metadata


def tables(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as connection:
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new.db"


async def test_an_empty_database_gets_all_tables(path: Path) -> None:
    async with Database.open(f"sqlite:///{path}") as database:
        await database.ping()
    assert set(metadata.tables) <= tables(path)


def test_a_second_start_changes_nothing(path: Path) -> None:
    migrate(engine_url(f"sqlite:///{path}"))
    before = path.read_bytes()
    migrate(engine_url(f"sqlite:///{path}"))
    migrate(engine_url(f"sqlite:///{path}"), upgrade=False)
    assert path.read_bytes() == before


def test_the_migrations_make_what_the_code_declares(file: Path) -> None:
    engine = create_engine(f"sqlite:///{file}")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_the_lane_is_a_partial_unique_index(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        (made,) = connection.execute(
            "SELECT sql FROM sqlite_master WHERE name = 'uq_turns_lane'"
        ).fetchone()
    assert made.startswith("CREATE UNIQUE INDEX")
    assert made.endswith("WHERE status = 'running'")


@pytest.mark.parametrize("upgrade", [True, False])
def test_tables_of_a_newer_version_are_refused(file: Path, upgrade: bool) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    with pytest.raises(SchemaError, match=r"newer Talksy \(revision 9999\)"):
        migrate(engine_url(f"sqlite:///{file}"), upgrade=upgrade)


async def test_tables_are_not_touched_unless_that_is_allowed(path: Path) -> None:
    with pytest.raises(SchemaError, match="talksy migrate"):
        async with Database.open(f"sqlite:///{path}", upgrade=False):
            pass
    assert tables(path) == set()


def test_a_migration_that_fails_leaves_nothing(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE users (id)")
        connection.commit()
    with pytest.raises(Exception, match="users"):
        migrate(engine_url(f"sqlite:///{path}"))
    assert tables(path) == {"users"}


def test_processes_that_start_at_once_wait_for_one_another(path: Path) -> None:
    script = (
        "import sys\n"
        "from talksy.database.engine import engine_url\n"
        "from talksy.database.migrate import migrate\n"
        "sys.stdin.read()\n"
        "migrate(engine_url(sys.argv[1]))\n"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", script, f"sqlite:///{path}"],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for _ in range(3)
    ]
    for process in started:
        assert process.stdin is not None
        process.stdin.close()
        process.stdin = None
    ended = [(process.communicate()[1], process.returncode) for process in started]
    assert ended == [(b"", 0)] * 3
    assert set(metadata.tables) <= tables(path)


def test_the_migrations_can_be_undone(file: Path) -> None:
    engine = create_engine(f"sqlite:///{file}")
    with engine.begin() as connection:
        command.downgrade(config_on(connection), "base")
    engine.dispose()
    assert not tables(file) & set(metadata.tables)


def test_the_migrations_are_part_of_the_package() -> None:
    assert list((MIGRATIONS / "versions").glob("0001_*.py"))

"""Tables are brought up to date, or it is said that they are not."""

import asyncio
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, create_engine, text

from talksy.database import Database, SchemaError, schema_sql
from talksy.database.migrate import MIGRATIONS, migrate_file
from talksy.database.migrate import _config as config_on
from talksy.database.sqlite import sqlite_url
from talksy.database.tables import metadata
from tests.integration.database.opened import line
from tests.postgres import as_role, find_psql


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
    migrate_file(sqlite_url(f"sqlite:///{path}"))
    before = path.read_bytes()
    migrate_file(sqlite_url(f"sqlite:///{path}"))
    migrate_file(sqlite_url(f"sqlite:///{path}"), upgrade=False)
    assert path.read_bytes() == before


async def test_the_migrations_make_what_the_code_declares(database: Database) -> None:
    assert await database.read(_differences) == []


@pytest.mark.parametrize("since", [None, "0001"])
def test_the_sql_that_is_printed_makes_them_too(tmp_path: Path, since: str | None) -> None:
    """As it is, by SQLite alone; also from an older revision on."""
    url = f"sqlite:///{tmp_path}/talksy.db"
    with closing(sqlite3.connect(tmp_path / "talksy.db")) as connection:
        if since is not None:
            whole = schema_sql(url)
            first = whole[: whole.index("-- Running upgrade 0001 -> ")]
            connection.executescript(f"{first}COMMIT;")
        connection.executescript(schema_sql(url, since))
    migrate_file(sqlite_url(url), upgrade=False)
    engine = create_engine(url)
    with engine.connect() as connected:
        assert _differences(connected) == []
    engine.dispose()


async def test_psql_takes_the_printed_sql_as_it_is(bare: str, tmp_path: Path) -> None:
    file = tmp_path / "schema.sql"
    file.write_text(schema_sql(bare))
    psql = [find_psql(), "-v", "ON_ERROR_STOP=1", "-q", "-f", str(file), bare]
    done = await asyncio.to_thread(subprocess.run, psql, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    async with Database.open(bare, upgrade=False) as database:
        assert await database.read(_differences) == []


def test_an_unknown_revision_is_named() -> None:
    with pytest.raises(SchemaError, match="no revision 9999: there are 0001, 0002"):
        schema_sql("sqlite:///talksy.db", "9999")


async def test_nodes_that_start_at_once_on_a_server_wait_for_one_another(bare: str) -> None:
    async def start() -> None:
        async with Database.open(bare) as database:
            await database.ping()

    await asyncio.gather(*(start() for _ in range(4)))
    async with Database.open(bare, upgrade=False) as database:
        assert await database.read(_differences) == []


async def test_a_server_whose_tables_are_older_or_newer_is_told(bare: str, url: str) -> None:
    with pytest.raises(SchemaError, match="talksy migrate"):
        async with Database.open(bare, upgrade=False):
            pass
    newer = text("UPDATE alembic_version SET version_num = '9999'")
    async with Database.open(url) as database:
        await database.write(lambda rows: rows.execute(newer))
    with pytest.raises(SchemaError, match=r"newer Talksy \(revision 9999\)"):
        async with Database.open(url):
            pass


async def test_a_server_that_lets_nobody_make_tables_says_so(bare: str) -> None:
    async with line(bare) as owner:
        await owner.execute("REVOKE CREATE ON SCHEMA public FROM public")
        await owner.execute("DROP ROLE IF EXISTS guest; CREATE ROLE guest LOGIN PASSWORD 'guest'")
        with pytest.raises(SchemaError, match="brought up to date: permission denied for schema"):
            async with Database.open(as_role(bare, "guest")):
                pass
        await owner.execute("DROP ROLE guest")


def _differences(connection: Connection) -> list[object]:
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    return list(compare_metadata(context, metadata))


def test_the_lane_is_a_partial_unique_index(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        (made,) = connection.execute(
            "SELECT sql FROM sqlite_master WHERE name = 'uq_turns_lane'"
        ).fetchone()
    assert made.startswith("CREATE UNIQUE INDEX")
    assert made.endswith("WHERE status IN ('running', 'parked')")


@pytest.mark.parametrize("upgrade", [True, False])
def test_tables_of_a_newer_version_are_refused(file: Path, upgrade: bool) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    with pytest.raises(SchemaError, match=r"newer Talksy \(revision 9999\)"):
        migrate_file(sqlite_url(f"sqlite:///{file}"), upgrade=upgrade)


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
        migrate_file(sqlite_url(f"sqlite:///{path}"))
    assert tables(path) == {"users"}


def test_processes_that_start_at_once_wait_for_one_another(path: Path) -> None:
    script = (
        "import sys\n"
        "from talksy.database.migrate import migrate_file\n"
        "from talksy.database.sqlite import sqlite_url\n"
        "sys.stdin.read()\n"
        "migrate_file(sqlite_url(sys.argv[1]))\n"
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
        command.downgrade(config_on(connection=connection), "base")
    engine.dispose()
    assert not tables(file) & set(metadata.tables)


def test_the_migrations_are_part_of_the_package() -> None:
    assert list((MIGRATIONS / "versions").glob("0001_*.py"))

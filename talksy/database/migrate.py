"""Brings the tables up to date, or says that they are not."""

import io
from pathlib import Path
from typing import TextIO

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, func, select
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from talksy.database.postgres import check_version

MIGRATIONS = Path(__file__).parent / "migrations"
LOCK = 0x7A15C7
"""Whoever migrates a server's database holds this lock."""


class SchemaError(Exception):
    """The database's tables do not fit this version of the code."""


class Outdated(SchemaError):
    """They are older, and can be brought up to date."""


def migrate_file(url: URL, *, upgrade: bool = True) -> None:
    """Upgrades the tables of SQLite under a lock, so that starting nodes wait for one another.

    Without ``upgrade`` it only looks. Raises ``SchemaError`` where the tables are newer than this
    code, or older and not upgraded. Blocks: call it in a thread.
    """
    engine = create_engine(url.set(drivername="sqlite+pysqlite"))
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA busy_timeout=60000")
            connection.commit()
            if upgrade:
                # The driver would begin at the first change only, after the version was read.
                driver = connection.connection.driver_connection
                driver.isolation_level = None  # type: ignore[union-attr]
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            _migrate(connection, upgrade=upgrade)
    finally:
        engine.dispose()


async def migrate_server(engine: AsyncEngine, *, upgrade: bool = True) -> None:
    """The same for a database server. The lock is the transaction's, as poolers need it.

    Raises ``Unfit``, too, where the server is too old.
    """

    def run(connection: Connection) -> None:
        check_version(connection.dialect.server_version_info or (0,))
        if upgrade:
            connection.execute(select(func.pg_advisory_xact_lock(LOCK)))
        _migrate(connection, upgrade=upgrade)

    async with engine.connect() as connection:
        await connection.run_sync(run)


def schema_sql(url: str, since: str | None = None) -> str:
    """What makes all tables, or brings those of revision ``since`` up to date, as one transaction
    for the kind of database that ``url`` names.

    Raises ``SchemaError`` for an unknown revision.
    """
    dialect = "sqlite" if url.startswith("sqlite") else "postgresql"
    config = _config(written := io.StringIO(), dialect=dialect)
    known = [entry.revision for entry in ScriptDirectory.from_config(config).walk_revisions()]
    if since is not None and since not in known:
        raise SchemaError(f"there is no revision {since}: there are {', '.join(sorted(known))}")
    command.upgrade(config, f"{since}:head" if since else "head", sql=True)
    return written.getvalue()


def _config(output: TextIO | None = None, **attributes: object) -> Config:
    """Alembic's settings; ``attributes`` are for ``migrations/env.py``."""
    config = Config(output_buffer=output, attributes=attributes)
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config


def _migrate(connection: Connection, *, upgrade: bool) -> None:
    config = _config(connection=connection)
    script = ScriptDirectory.from_config(config)
    version = MigrationContext.configure(connection).get_current_revision()
    if version == script.get_current_head():
        connection.rollback()
        return
    if version is not None and version not in {entry.revision for entry in script.walk_revisions()}:
        raise SchemaError(
            f"the database has the tables of a newer Talksy (revision {version}): "
            "run that version, or restore a backup"
        )
    if not upgrade:
        raise Outdated(
            "the database's tables are older than this Talksy needs: run `talksy migrate`, "
            "or start with DATABASE_MIGRATE=1"
        )
    try:
        command.upgrade(config, "head")
        connection.commit()
    except DBAPIError as error:
        reason = str(error.orig).partition("\n")[0]
        raise SchemaError(f"the tables cannot be brought up to date: {reason}") from error

"""Brings the tables up to date, or says that they are not."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine
from sqlalchemy.engine import URL

MIGRATIONS = Path(__file__).parent / "migrations"

_SYNC_DRIVERS = {"sqlite+aiosqlite": "sqlite+pysqlite"}


class SchemaError(Exception):
    """The database's tables do not fit this version of the code."""


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def migrate(url: URL, *, upgrade: bool = True) -> None:
    """Upgrades the tables at ``url`` under a lock, so that starting nodes wait for one another.

    Without ``upgrade`` it only looks. Raises ``SchemaError`` where the tables are newer than this
    code, or older and not upgraded. Blocks: call it in a thread.
    """
    driver = url.drivername
    engine = create_engine(url.set(drivername=_SYNC_DRIVERS.get(driver, driver)))
    try:
        with engine.connect() as connection:
            if engine.dialect.name == "sqlite":
                connection.exec_driver_sql("PRAGMA busy_timeout=60000")
                connection.commit()
            _migrate(connection, upgrade=upgrade)
    finally:
        engine.dispose()


def _migrate(connection: Connection, *, upgrade: bool) -> None:
    config = _config(connection)
    script = ScriptDirectory.from_config(config)
    if connection.dialect.name == "sqlite" and upgrade:
        # The driver would begin at the first change only, after the version was read.
        connection.connection.driver_connection.isolation_level = None  # type: ignore[union-attr]
        connection.exec_driver_sql("BEGIN IMMEDIATE")
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
        raise SchemaError(
            "the database's tables are older than this Talksy needs: run `talksy migrate`, "
            "or start with DATABASE_MIGRATE=1"
        )
    command.upgrade(config, "head")
    connection.commit()

"""What keeps a database from serving is told in a line, and what may go wrong is known."""

import asyncio
import signal
import time
from pathlib import Path

import pytest
from sqlalchemy import text

from talksy.database import Database, InUse, Unfit, Unreachable, inspect
from talksy.database.leases import Leases
from talksy.database.machine import only_machine
from tests.integration.database.opened import line
from tests.postgres import as_role, running_postgres

MS = 300


async def unfit(url: str) -> str:
    """What a start on the database at ``url`` would be told."""
    async with Database.open(url, upgrade=False) as database:
        with pytest.raises(Unfit) as raised:
            (await inspect(database)).must_serve()
    return str(raised.value)


async def test_a_database_that_serves_tells_what_it_is(database: Database) -> None:
    for host in ("one", "two"):
        await Leases(database, owner=f"node_{host}", host=host).renew()
    standing = await inspect(database)
    standing.must_serve()
    assert (standing.hosts, standing.clock_off) == (("one", "two"), False)
    assert int(standing.version.partition(".")[0]) >= 3
    if server := standing.server:
        assert 0 < server.taken < server.room
        assert (server.commits, server.fsync) == ("on", False)


async def test_a_role_that_may_only_read_is_told_what_it_lacks(postgres_url: str) -> None:
    role = f"reader_{time.monotonic_ns()}"
    async with line(postgres_url) as owner:
        await owner.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{role}'")
        await owner.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
        told = await unfit(as_role(postgres_url, role))
        assert "may not DELETE, INSERT, UPDATE on facts and" in told
        await owner.execute(f"ALTER ROLE {role} SET default_transaction_read_only = on")
        assert "default_transaction_read_only is on" in await unfit(as_role(postgres_url, role))
        await owner.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


async def test_a_standby_and_a_wrong_password_are_told() -> None:
    with running_postgres(hba="host all ada 127.0.0.1/32 scram-sha-256\n") as server:
        async with Database.open(url := server.url("postgres")), line(url) as owner:
            await owner.execute("CREATE ROLE ada LOGIN PASSWORD 'right'")
        with pytest.raises(Unreachable, match=r'password authentication failed for user "ada"'):
            async with Database.open(as_role(url, "ada")):
                pass
        daemon = server.daemon
        assert daemon is not None
        await asyncio.to_thread(daemon.stop, signal.SIGINT)
        (Path(daemon.command[2]) / "standby.signal").touch()
        daemon.ready = "ready to accept read-only connections"
        await asyncio.to_thread(daemon.start)
        assert "is a standby and only reads" in await unfit(url)


async def test_a_server_that_is_too_old_is_told_before_anything_is_changed(
    bare: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("talksy.database.postgres.OLDEST", 99)
    with pytest.raises(Unfit, match=r"PostgreSQL \d+\.\d+ is too old: version 99"):
        async with Database.open(bare):
            pass
    async with line(bare) as owner:
        assert not await owner.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname='public'")


async def test_a_clock_that_is_far_off_is_told(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("talksy.database.engine.time", lambda: time.time() - 60)
    standing = await inspect(database)
    assert standing.clock_off
    assert 59_000 < standing.ahead_ms < 61_000
    assert 59_000 < await database.ping() < 61_000


# ---- a file that several machines share


async def hosts(database: Database) -> list[str]:
    query = text("SELECT host FROM nodes")
    return list(await database.read(lambda rows: rows.execute(query).scalars().all()))


async def test_a_file_that_another_machine_serves_from_is_refused(file: Path) -> None:
    async with (
        Database.open(url := f"sqlite:///{file}") as ours,
        Database.open(url) as theirs,
        only_machine(theirs, host="theirs", ms=MS),
    ):
        with pytest.raises(InUse, match="the machine theirs serves from this SQLite file"):
            async with only_machine(ours, host="ours", ms=MS):
                pass
        async with only_machine(ours, host="theirs", ms=MS):
            pass


async def test_what_a_crashed_machine_left_is_waited_for(file: Path) -> None:
    async with Database.open(f"sqlite:///{file}") as database:
        await Leases(database, owner="machine theirs", host="theirs", ms=MS).renew()
        began = time.monotonic()
        async with only_machine(database, host="ours", ms=MS):
            assert time.monotonic() - began >= MS / 1000
            assert set(await hosts(database)) == {"ours", "theirs"}
        assert await hosts(database) == ["theirs"]

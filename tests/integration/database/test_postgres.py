"""What only PostgreSQL can do to us: poolers, locks, failovers, and lines that are cut."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import Connection, text
from sqlalchemy.util import await_only
from structlog.testing import capture_logs

from talksy.database import Database, Unreachable
from talksy.database.engine import alone
from talksy.database.history import History
from talksy.database.lane import Admission, Checkpoint, Lane
from talksy.errors import Overloaded
from talksy.events import Ending
from tests.integration.database.crowd import talk
from tests.integration.database.opened import line, until
from tests.integration.database.rows import NOW, Story
from tests.integration.journal.rig import node
from tests.postgres import Postgres, as_role, running_pgbouncer, running_postgres
from tests.proxy import Proxy, running_proxy

COMMITTED = b"COMMIT\0"
"""What the server says of a commit, as it stands on the line."""


@pytest.fixture
def url(postgres_url: str) -> str:
    return postgres_url


@pytest.fixture
async def proxy(postgres: Postgres) -> AsyncIterator[Proxy]:
    async with running_proxy(f"http://{postgres.address}") as opened:
        yield opened


@pytest.fixture
async def far(proxy: Proxy, url: str) -> AsyncIterator[Story]:
    """A session on the other side of the proxy."""
    where = url.replace(f"{proxy.host}:{proxy.port}", proxy.url.removeprefix("http://"))
    async with Database.open(where, upgrade=False) as database:
        await database.ping()
        yield Story(database, Lane(database, owner="node_a"), History(database))


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> float:
    """Everything is given up in a tenth of its time; returns how long a transaction may take."""
    monkeypatch.setattr("talksy.database.postgres.SECONDS", 0.4)
    monkeypatch.setattr("talksy.database.postgres.CONNECT_SECONDS", 0.2)
    return 0.4


def ask(connection: Connection) -> None:
    connection.execute(text("SELECT 1"))


async def refused(database: Database) -> float:
    """How many seconds a write, a read and a ping took to be refused, side by side."""

    began = time.monotonic()
    ended = await asyncio.gather(
        database.read(ask), database.write(ask), database.ping(), return_exceptions=True
    )
    assert [type(error) for error in ended] == [Overloaded] * 3
    return time.monotonic() - began


# ---- a pooler


@pytest.fixture
def pooled(postgres: Postgres, bare: str) -> Iterator[str]:
    """A database without tables, behind a pooler with three connections to it."""
    with running_pgbouncer(postgres, pool_size=3) as address:
        yield bare.replace(postgres.address, address)


async def test_a_pooler_may_lend_a_connection_for_each_transaction(pooled: str) -> None:
    """Tables are made and a crowd talks: twenty connections of ours on three of the server's."""
    await talk(pooled)


# ---- locks


async def test_two_transactions_that_wait_for_each_other_are_both_kept_in_the_end(
    url: str, story: Story
) -> None:
    other_session = replace(story, session_id="ses_2")
    turns = [await story.start("m1"), await other_session.start("m2")]
    first, second = sorted(turns, key=lambda row: row.id)
    async with line(url) as other:
        # The server ends who finds it out first: the checkpoint.
        await other.execute("SET deadlock_timeout = '20s'")
        transaction = other.transaction()
        await transaction.start()
        await other.execute("UPDATE turns SET chunks = 1 WHERE id = $1", second.id)
        told = asyncio.create_task(
            story.lane.checkpoint([Checkpoint(row, "text", 1, 1) for row in (first, second)])
        )
        await _waits(other, "transactionid")
        await other.execute("UPDATE turns SET chunks = 1 WHERE id = $1", first.id)
        await transaction.commit()
        await told
    for row in turns:
        found = await story.lane.find(row.session_id, row.id)
        assert found is not None
        assert found.text == "text"


async def test_who_stands_still_in_a_lane_gives_it_up(
    database: Database, monkeypatch: pytest.MonkeyPatch, story: Story
) -> None:
    """A node that is cut off in the middle of a transaction keeps the others waiting so long."""
    admissions: list[Admission] = []

    def stand_still(connection: Connection) -> None:
        with monkeypatch.context() as patch:
            patch.setattr("talksy.database.engine.IDLE_MS", 100)
            alone(connection, "ses_1")
        admissions.append(await_only(story.say("m1")))
        ask(connection)

    with pytest.raises(Overloaded):
        await database.write(stand_still)
    assert admissions[0].started


async def test_who_waits_too_long_for_a_lane_is_told_and_keeps_its_connection(
    database: Database, monkeypatch: pytest.MonkeyPatch, story: Story
) -> None:
    monkeypatch.setattr("talksy.database.engine.LOCK_MS", 50)

    def hold(connection: Connection) -> None:
        alone(connection, "ses_1")
        with pytest.raises(Overloaded):
            await_only(story.say("m1"))

    await database.write(hold)
    assert (await story.say("m1")).started


# ---- a database that is away


async def test_a_line_that_swallows_everything_is_given_up_in_time(
    far: Story, proxy: Proxy, hasty: float
) -> None:
    with proxy.black_hole():
        for _ in range(3):
            assert await refused(far.database) < 3 * hasty
    assert (await far.say("m1")).started


@pytest.mark.parametrize("kind", ["read", "write"])
async def test_a_line_that_swallows_the_end_of_a_transaction_is_given_up_in_time(
    kind: str, far: Story, proxy: Proxy, hasty: float
) -> None:
    database, began = far.database, time.monotonic()
    with ExitStack() as hole, suppress(Overloaded):

        def swallow(connection: Connection) -> None:
            ask(connection)
            hole.enter_context(proxy.black_hole())

        await (database.read(swallow) if kind == "read" else database.write(swallow))
    assert time.monotonic() - began < 3 * hasty
    assert (await far.say("m1")).started


async def test_who_gives_up_a_swallowed_question_itself_is_not_kept(
    far: Story, proxy: Proxy
) -> None:
    """As the health page does: it waits two seconds, whatever the database takes."""
    with proxy.black_hole():
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await far.database.ping()
        assert time.monotonic() - began < 1
    assert (await far.say("m1")).started


async def test_a_server_that_nobody_reaches_is_told_at_once(far: Story, proxy: Proxy) -> None:
    async with proxy.refusing():
        assert await refused(far.database) < 2
    assert (await far.say("m1")).started


async def test_a_restarted_server_is_served_by_new_connections_at_once() -> None:
    with running_postgres() as server:
        assert server.daemon is not None
        async with Database.open(server.url("postgres")) as database:
            story = Story(database, Lane(database, owner="node_a"), History(database))
            await asyncio.gather(*(database.ping() for _ in range(8)))
            await asyncio.to_thread(server.daemon.crash)
            await asyncio.to_thread(server.daemon.start)
            assert (await story.say("m1")).started
            await asyncio.gather(*(database.ping() for _ in range(8)))
            await asyncio.to_thread(server.daemon.crash)
            assert await refused(database) < 2
            await asyncio.to_thread(server.daemon.start)
            await asyncio.gather(*(database.ping() for _ in range(8)))


async def test_a_server_without_a_free_connection_is_away_until_it_has_one(url: str) -> None:
    async with line(url) as owner:
        role = f"few_{time.monotonic_ns()}"
        await owner.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{role}' CONNECTION LIMIT 1")
        await owner.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}")
        async with Database.open(as_role(url, role), upgrade=False) as database:

            def crowd(connection: Connection) -> None:
                ask(connection)
                with capture_logs() as logs:
                    await_only(refused(database))
                assert "too many connections" in logs[0]["reason"]

            await database.read(crowd)
            await database.ping()
        await owner.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


async def test_after_a_failover_the_old_server_is_left(url: str) -> None:
    """It only reads now; connections that lead to it are given up, and none too late."""
    name = url.rpartition("/")[2].partition("?")[0]
    async with line(url) as owner:
        await owner.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        async with Database.open(url, upgrade=False) as moved:
            story = Story(moved, Lane(moved, owner="node_a"), History(moved))
            for _ in range(2):
                with pytest.raises(Overloaded):
                    await story.say("m1")
                with pytest.raises(Overloaded):
                    await moved.ping()
            await owner.execute("SET default_transaction_read_only = off")
            await owner.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
            with suppress(Overloaded):
                await story.say("m1")
            assert (await story.say("m1")).turn_id
            await moved.ping()


async def test_a_database_that_does_not_exist_is_named_in_a_line(postgres: Postgres) -> None:
    with pytest.raises(Unreachable, match=r'cannot reach .*: database "nowhere" does not exist'):
        async with Database.open(postgres.url("nowhere")):
            pass


# ---- a commit whose answer was lost


async def lost(far: Story, proxy: Proxy, message_id: str) -> None:
    """A message that is stored, and refused."""
    proxy.cut_before(COMMITTED)
    with pytest.raises(Overloaded):
        await far.say(message_id)


async def test_a_message_that_was_stored_and_refused_may_be_sent_again(
    far: Story, proxy: Proxy
) -> None:
    await lost(far, proxy, "m1")
    again = await far.say("m1")
    assert again == Admission(again.turn_id, duplicate=True)
    assert await far.lane.own() == {again.turn_id: False}


async def test_what_was_stored_and_refused_is_answered_all_the_same(
    far: Story, proxy: Proxy, tmp_path: Path
) -> None:
    rig = node(far.database, tmp_path)
    async with rig.journal.open(rig.compose, rig.announce):
        far.lane = rig.lane
        await lost(far, proxy, "m1")
        assert (await rig.ending("m1")).reason == "completed"
        assert await far.texts() == ["m1", "hello"]
        assert rig.announced == ["m1"]


async def test_an_ending_that_was_stored_and_refused_stands_and_the_queue_goes_on(
    far: Story, proxy: Proxy, tmp_path: Path
) -> None:
    rig = node(far.database, tmp_path)
    async with rig.journal.open(rig.compose, rig.announce):
        await rig.say("m1", "hel", go_on := asyncio.Event(), "lo")
        await rig.say("m2")
        await until(lambda: rig.client("m1").text == "hel")
        proxy.cut_before(COMMITTED)
        go_on.set()
        assert (await rig.ending("m1")).reason == "completed"
        assert (await rig.ending("m2")).reason == "completed"
        assert proxy.cuts == 1
    assert await far.texts() == ["m1", "hello", "m2", "hello"]


async def test_a_second_ending_of_the_same_turn_does_not_win(far: Story, proxy: Proxy) -> None:
    turn = await far.start("m1")
    proxy.cut_before(COMMITTED)
    ending = Ending("completed", "hello", provider="mock", model="mock", ended_at=NOW)
    with pytest.raises(Overloaded):
        await far.lane.finish(turn, ending, events=2)
    assert not (await far.lane.finish(turn, ending, events=2)).won
    row = await far.lane.find("ses_1", turn.id)
    assert row is not None
    assert (row.status, row.text) == ("completed", "hello")


async def _waits(connection: asyncpg.Connection, lock: str) -> None:
    """Returns once somebody waits for a lock of this kind."""
    query = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = $1"
    async with asyncio.timeout(5):
        while not await connection.fetchval(query, lock):  # noqa: ASYNC110
            await asyncio.sleep(0.005)

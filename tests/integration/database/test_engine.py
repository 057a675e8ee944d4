"""The connection: transactions, what SQLite is told, and a database that is away."""

import asyncio
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.util import await_only

from talksy.database import Database, InUse, Unreachable
from talksy.database.sqlite import File, only_server, sqlite_url
from talksy.errors import Overloaded, TalksyError
from talksy.events import Ending
from talksy.messages import Usage
from tests.integration.database.opened import locked, until, writing
from tests.integration.database.rows import NOW, Story

ADD = text(
    "INSERT INTO users (id, email, email_key, password_hash, created_at) "
    "VALUES (:id, 'x', :id, 'h', 1)"
)


async def users(database: Database) -> list[str]:
    query = text("SELECT id FROM users")
    return list(await database.read(lambda rows: rows.execute(query).scalars().all()))


async def add(database: Database, *ids: str) -> None:
    await database.write(lambda rows: rows.execute(ADD, [{"id": user_id} for user_id in ids]))


async def test_a_write_is_kept_when_its_block_ends(database: Database) -> None:
    await add(database, "a")
    assert await users(database) == ["a"]


async def test_a_write_that_raises_leaves_nothing(database: Database) -> None:
    def fail(rows: Connection) -> None:
        rows.execute(ADD, {"id": "a"})
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await database.write(fail)
    assert await users(database) == []


async def test_a_fault_of_ours_is_not_taken_for_a_database_that_is_away(
    database: Database,
) -> None:
    await add(database, "a")
    with pytest.raises(IntegrityError):
        await add(database, "a")


async def test_a_read_is_one_consistent_view(database: Database) -> None:
    count = text("SELECT count(*) FROM users")
    loop = asyncio.get_running_loop()

    def look(rows: Connection) -> list[int]:
        before = rows.execute(count).scalar_one()
        if isinstance(database.store, File):
            asyncio.run_coroutine_threadsafe(add(database, "a"), loop).result(5)
        else:
            await_only(add(database, "a"))
        return [before, rows.execute(count).scalar_one()]

    assert await database.read(look) == [0, 0]
    assert await users(database) == ["a"]


async def test_parallel_writes_all_succeed(database: Database) -> None:
    await asyncio.gather(*(add(database, f"u{number}") for number in range(30)))
    assert len(await users(database)) == 30


async def test_sqlite_keeps_a_log_obeys_foreign_keys_and_survives_a_power_cut(file: Path) -> None:
    names = ("journal_mode", "foreign_keys", "synchronous", "busy_timeout")

    def look(rows: Connection) -> list[object]:
        return [rows.execute(text(f"PRAGMA {name}")).scalar_one() for name in names]

    async with Database.open(f"sqlite:///{file}") as database:
        assert await database.read(look) == ["wal", 1, 2, 2_000]
        assert await database.write(look) == ["wal", 1, 2, 2_000]


@pytest.mark.usefixtures("impatient")
async def test_a_locked_database_is_told_as_overloaded_and_serves_reads(file: Path) -> None:
    async with Database.open(f"sqlite:///{file}") as database, locked(file):
        with pytest.raises(Overloaded) as caught:
            await add(database, "a")
        assert await users(database) == []
        assert caught.value.retry_after == 1


async def test_a_database_that_went_away_does_not_answer(tmp_path: Path, template: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(template, home / "talksy.db")
    async with Database.open(f"sqlite:///{home}/talksy.db", upgrade=False) as database:
        shutil.rmtree(home)
        with pytest.raises(TalksyError):
            await database.ping()


async def test_no_error_brings_what_people_wrote(database: Database) -> None:
    with pytest.raises(IntegrityError) as caught:
        await add(database, "a secret", "a secret")
    assert "a secret" not in str(caught.value)


async def test_one_server_has_the_embedded_database(file: Path) -> None:
    url = f"sqlite:///{file}"
    async with Database.open(url, exclusive=True):
        with pytest.raises(InUse, match="stop it first"):
            async with Database.open(url, exclusive=True):
                pass
        async with Database.open(url) as tool:
            await tool.ping()
    async with Database.open(url, exclusive=True) as next_one:
        await next_one.ping()


async def test_another_process_cannot_serve_from_it_either(file: Path) -> None:
    script = (
        "import sys\n"
        "from talksy.database.sqlite import *\n"
        "with only_server(sqlite_url(sys.argv[1])): pass\n"
    )
    with only_server(sqlite_url(f"sqlite:///{file}")):
        other = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", script, f"sqlite:///{file}"],
            capture_output=True,
            check=False,
        )
    assert b"InUse" in other.stderr


def test_where_no_file_is_shared_nothing_is_held() -> None:
    with only_server(sqlite_url("sqlite://")), only_server(sqlite_url("sqlite://")):
        pass


async def test_a_write_waits_only_so_long_for_those_before_it(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it cannot do in time is told, not done much later."""
    monkeypatch.setattr("talksy.database.engine.TURN_SECONDS", 0.01)
    async with Database.open(f"sqlite:///{file}") as database:
        async with writing(database):
            with pytest.raises(Overloaded):
                await add(database, "a")
        await add(database, "b")
        assert await users(database) == ["b"]


async def test_writes_that_wait_for_another_are_committed_together(file: Path) -> None:
    """One that fails takes no other along, and who gave up is not taken along."""
    ids = ["a", "b", "a", "c"]
    async with Database.open(f"sqlite:///{file}") as database:
        async with writing(database) as line:
            asked = [asyncio.create_task(add(database, user_id)) for user_id in ids]
            await until(lambda: line.waiting == len(ids))
            asked[1].cancel()
        ended = await asyncio.gather(*asked, return_exceptions=True)
        kinds = [None, asyncio.CancelledError, IntegrityError, None]
        assert [type(one) if one else None for one in ended] == kinds
        assert await users(database) == ["a", "c"]


async def test_writes_that_go_together_fail_together_where_the_disk_is_full(file: Path) -> None:
    def fill(rows: Connection) -> None:
        pages = rows.execute(text("PRAGMA page_count")).scalar_one()
        rows.execute(text(f"PRAGMA max_page_count = {pages + 2}"))
        rows.execute(ADD, [{"id": f"{number}" * 500} for number in range(500)])

    async with Database.open(f"sqlite:///{file}") as database:
        async with writing(database) as line:
            asked = [
                asyncio.create_task(work)
                for work in (add(database, "a"), database.write(fill), add(database, "b"))
            ]
            await until(lambda: line.waiting == len(asked))
        ended = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(one) for one in ended] == [Overloaded] * 3
        assert await users(database) == []


@pytest.mark.usefixtures("impatient")
async def test_a_commit_that_fails_leaves_nothing_open(file: Path) -> None:
    async with Database.open(f"sqlite:///{file}", upgrade=False) as database:

        def late(rows: Connection) -> None:
            rows.execute(text("CREATE TABLE a (id INTEGER PRIMARY KEY)"))
            rows.execute(text("CREATE TABLE b (a REFERENCES a DEFERRABLE INITIALLY DEFERRED)"))
            rows.execute(text("INSERT INTO b VALUES (1)"))

        with pytest.raises(IntegrityError):
            await database.write(late)
        async with locked(file):
            pass
        await add(database, "a")
        assert await users(database) == ["a"]


async def test_a_ping_writes_where_the_last_write_failed(file: Path) -> None:
    """A server that cannot write is not ready, and is again when it can."""
    async with Database.open(f"sqlite:///{file}") as database:
        async with locked(file):
            await database.ping()
            with pytest.raises(Overloaded):
                await add(database, "a")
            with pytest.raises(Overloaded):
                await database.ping()
        await database.ping()


async def test_text_comes_back_as_it_went(story: Story) -> None:
    said = "naïve ☕ 👩‍👩‍👧 '\"; DROP TABLE messages; --\n\t end"
    await story.say("m1", text=said)
    assert await story.texts() == [said]


async def test_what_a_vendor_may_write_fails_no_ending(story: Story) -> None:
    """PostgreSQL knows no NUL, UTF-8 no half of a character, a column no end of a name."""
    turn = await story.start("m1")
    ending = Ending(
        "failed",
        "a\0b\ud800c",
        provider="p" * 100,
        model="m\0" * 100,
        usage=Usage(2**70, -1),
        error={"code": "PROVIDER_UNAVAILABLE", "message": "\0\ud800"},
        ended_at=NOW,
    )
    assert (await story.lane.finish(turn, ending, events=1)).won
    row = await story.lane.find("ses_1", turn.id)
    assert row is not None
    assert (row.text, row.error) == ("a\ufffdb\ufffdc", ending.error)
    assert (len(row.provider or ""), len(row.model or "")) == (64, 128)


async def test_a_file_that_is_no_database_is_named_in_a_line(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("no database, and long enough to be looked at " * 100)
    with pytest.raises(Unreachable, match=r"cannot open .*notes\.txt: file is not a database"):
        async with Database.open(f"sqlite:///{path}"):
            pass
    with pytest.raises(Unreachable, match="unable to open database file"):
        async with Database.open(f"sqlite:///{tmp_path}"):
            pass

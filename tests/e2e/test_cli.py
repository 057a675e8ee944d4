"""The commands, as an operator runs them."""

import asyncio
import json
import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import aiohttp
import jwt

from talksy import __version__
from tests.e2e.accounts import Account
from tests.e2e.conftest import Door
from tests.server import DEFAULTS, running_server


async def talksy(folder: Path, *arguments: str, **settings: str) -> tuple[int | None, str, str]:
    """Runs a command to its end; returns its exit code and what it printed."""
    kept = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "talksy", *arguments),
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), **kept, **settings},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_the_version_is_printed(tmp_path: Path) -> None:
    assert await talksy(tmp_path, "--version") == (0, f"{__version__}\n", "")


async def test_a_token_is_minted_while_the_server_runs(tmp_path: Path) -> None:
    """For tests and benches: it opens the same doors as one that was logged in for."""
    async with running_server(DATA_DIR=tmp_path / "data") as server:
        account = await Account.register(server.url)
        secret = str(DEFAULTS["JWT_SECRET"])
        code, out, err = await talksy(
            tmp_path, "token", "--email", account.email, JWT_SECRET=secret
        )
        assert (code, err) == (0, "")
        headers = {"Authorization": f"Bearer {out.strip()}"}
        async with aiohttp.ClientSession(server.url, headers=headers) as http:
            answer = await http.get("/auth/me")
            assert (await answer.json())["email"] == account.email


async def test_a_token_for_nobody_is_refused_in_a_line(tmp_path: Path) -> None:
    code, out, err = await talksy(tmp_path, "token", "--email", "nobody@example.com")
    assert (code, out) == (1, "")
    assert err.startswith("talksy: There is no account")
    assert len(err.splitlines()) == 1


async def test_a_scope_is_given_while_the_server_runs_and_is_in_the_next_token(
    tmp_path: Path,
) -> None:
    async with running_server(DATA_DIR=tmp_path / "data") as server:
        account = await Account.register(server.url)
        scope = ("user", "scope")
        code, out, err = await talksy(tmp_path, *scope, "add", account.email, "tools:admin")
        assert (code, err) == (0, "")
        assert out.startswith(f"{account.email} has tools:basic tools:admin\n")
        assert "next token" in out
        assert scope_of(account) == "tools:basic"
        assert scope_of(await account.login()) == "tools:basic tools:admin"
        await talksy(tmp_path, *scope, "remove", account.email, "tools:basic")
        _, out, _ = await talksy(tmp_path, *scope, "list", account.email.upper())
        assert out == "tools:admin\n"


def scope_of(account: Account) -> str:
    """What an account's token allows."""
    return str(jwt.decode(account.token, options={"verify_signature": False})["scope"])


async def test_what_is_no_scope_or_no_account_is_refused_in_a_line(tmp_path: Path) -> None:
    nobody = "nobody@example.com"
    for arguments, reason in (
        (("add", nobody, "two words"), "a scope has 1 to 64"),
        (("add", nobody, "tools:basic"), "There is no account"),
        (("list", nobody), "There is no account"),
    ):
        code, out, err = await talksy(tmp_path, "user", "scope", *arguments)
        assert (code, out) == (1, "")
        assert err.startswith(f"talksy: {reason}")
        assert len(err.splitlines()) == 1


async def test_tables_are_made_by_migrate_and_asked_for_without(tmp_path: Path) -> None:
    code, out, err = await talksy(tmp_path, "serve", DATABASE_MIGRATE="0", PORT="0")
    assert (code, out) == (1, "")
    assert "talksy migrate" in err
    assert len(err.splitlines()) == 1
    code, out, err = await talksy(tmp_path, "migrate")
    assert (code, out, err) == (0, "the database is up to date\n", "")
    assert (tmp_path / "data" / "talksy.db").exists()


async def test_the_printed_sql_makes_tables_that_a_server_starts_on(tmp_path: Path) -> None:
    code, sql, err = await talksy(tmp_path, "migrate", "--sql")
    assert (code, err) == (0, "")
    with closing(sqlite3.connect(tmp_path / "data" / "talksy.db")) as connection:
        connection.executescript(sql)
    async with running_server(DATA_DIR=tmp_path / "data", DATABASE_MIGRATE="no") as server:
        await Account.register(server.url)
    code, out, err = await talksy(tmp_path, "migrate", "--sql", "--from", "9999")
    assert (code, out) == (1, "")
    assert "no revision 9999" in err


async def test_what_was_used_is_shown_by_account_and_day(
    tmp_path: Path, websocket_door: Door
) -> None:
    async with running_server(DATA_DIR=tmp_path / "data") as server:
        account = await Account.register(server.url)
        client = await websocket_door.at(server.url).open(account)
        for _ in range(2):
            await client.ending((await client.say("/mock tokens=3"))["turnId"])
    code, out, err = await talksy(tmp_path, "usage", "--json", "--email", account.email.upper())
    assert (code, err) == (0, "")
    (used,) = json.loads(out)
    assert (used["turns"], used["provider"], used["output_tokens"]) == (2, "mock", 6)
    code, out, _ = await talksy(tmp_path, "usage")
    assert code == 0
    assert all(word in out for word in (used["day"], "mock", "turns", "2"))
    code, _, err = await talksy(tmp_path, "usage", "--email", "nobody@example.com")
    assert (code, len(err.splitlines())) == (1, 1)


async def test_a_database_that_is_not_there_is_told_in_a_line_without_its_password(
    tmp_path: Path,
) -> None:
    where = "postgresql://talksy:hush@127.0.0.1:1/talksy"
    for command in ("serve", "migrate"):
        code, out, err = await talksy(tmp_path, command, DATABASE_URL=where)
        assert (code, out) == (1, "")
        assert err == "talksy: cannot reach the database at 127.0.0.1:1: Connection refused\n"


async def test_bad_settings_stop_the_start_with_every_fault_at_once(tmp_path: Path) -> None:
    code, out, err = await talksy(
        tmp_path, "serve", PORT="many", NODE_ENV="production", JWT_SECRET="short", LOG_LEVEL="loud"
    )
    assert (code, out) == (1, "")
    for name in ("PORT", "JWT_SECRET", "LOG_LEVEL", "CORS_ORIGIN"):
        assert any(line.startswith(name) for line in err.splitlines()), (name, err)
    assert "short" not in err.replace("shorter", "")
    assert "Traceback" not in err


async def test_a_second_server_on_the_same_data_says_so(tmp_path: Path) -> None:
    async with running_server(DATA_DIR=tmp_path / "data"):
        code, out, err = await talksy(tmp_path, "serve", PORT="0")
    assert (code, out) == (1, "")
    assert "another Talksy serves" in err
    assert len(err.splitlines()) == 1


async def test_what_is_kept_is_its_owners_alone(tmp_path: Path) -> None:
    """The database holds password hashes and what people said."""
    async with running_server(DATA_DIR=tmp_path / "data"):
        kept = [tmp_path / "data", *(tmp_path / "data").iterdir()]
        assert len(kept) > 1
        assert {path.name: path.stat().st_mode & 0o077 for path in kept} == {
            path.name: 0 for path in kept
        }


async def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    async with running_server() as server:
        host, port = server.url.removeprefix("http://").split(":")
        code, _, err = await talksy(tmp_path, "serve", HOST=host, PORT=port, LOG_FORMAT="json")
    assert code == 1
    assert port in err
    assert "choose another PORT" in err
    assert "Traceback" not in err


async def test_the_tools_are_listed_with_where_they_come_from(tmp_path: Path) -> None:
    (tmp_path / "my_tools.py").write_text(
        "from talksy.tools import tool\n\n"
        '@tool(policy="ask", scope="shop:buy", category="data", deprecated="use buy_two")\n'
        "async def buy_one(item: str) -> str:\n"
        '    """Buys something."""\n'
        "    return item\n"
    )
    code, out, err = await talksy(tmp_path, "tools", TOOL_MODULES="my_tools")
    assert (code, err) == (0, "")
    rows = [line.split() for line in out.splitlines()]
    assert ["buy_one", "(deprecated)", "data", "ask", "shop:buy", "server", "my_tools"] in rows
    assert ["calculate", "utility", "auto", "tools:basic", "server", "built", "in"] in rows


async def test_a_tool_is_called_from_the_terminal(tmp_path: Path) -> None:
    code, out, err = await talksy(tmp_path, "tools", "call", "calculate", '{"expression": "6*7"}')
    assert (code, json.loads(out), err) == (0, {"expression": "6*7", "result": 42}, "")


async def test_a_call_that_fails_is_told_by_the_exit_code(tmp_path: Path) -> None:
    code, out, _ = await talksy(tmp_path, "tools", "call", "get_order_status", '{"orderId": "x"}')
    assert (code, json.loads(out)["code"]) == (1, "TOOL_FAILED")
    code, out, err = await talksy(tmp_path, "tools", "call", "calculat")
    assert (code, out) == (1, "")
    assert err == 'talksy: There is no tool "calculat": did you mean calculate?\n'


async def test_tools_that_cannot_be_had_stop_the_start(tmp_path: Path) -> None:
    code, _, err = await talksy(tmp_path, "tools", TOOL_MODULES="nowhere")
    assert code == 1
    assert "TOOL_MODULES or TOOL_SANDBOXED_MODULES: the module nowhere cannot be imported" in err
    assert "Traceback" not in err

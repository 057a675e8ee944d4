"""``talksy serve --workers``: several processes on one port, as stock clients find them."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families

from tests.certificates import Authority
from tests.e2e.test_cli import talksy
from tests.fleet.crowd import Told, running_crowd
from tests.postgres import postgres_of
from tests.redis import Redis, running_redis
from tests.server import START_SECONDS, Line, Server, running_server

WORKERS = 3
SETTINGS: dict[str, Any] = {
    "NODE_LEASE_MS": 5_000,
    "GUESTS_ENABLED": 1,
    "MAX_GUESTS_PER_ADDRESS": 1_000,
    "AUTH_GUESTS_PER_MINUTE": 1_000_000,
    "RATE_LIMIT_MAX_REQUESTS": 1_000_000,
    "RATE_LIMIT_READS_PER_MINUTE": 1_000_000,
}


@pytest.fixture(scope="module")
def redis() -> Iterator[Redis]:
    with running_redis() as server:
        yield server


def killed(line: Line) -> bool:
    """What is logged of a worker that a test has killed."""
    return bool(line["event"] == "worker_ended" and line["code"] == -signal.SIGKILL)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shared(redis: Redis, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What workers need to start."""
    folder = tmp_path_factory.mktemp("workers")
    url = await postgres_of(folder)
    return {"DATABASE_URL": url, "REDIS_URL": redis.url, "DATA_DIR": folder, **SETTINGS}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def server(shared: dict[str, Any]) -> AsyncIterator[Server]:
    """A server of three."""
    async with running_server(f"--workers={WORKERS}", accept=killed, **shared) as server:
        yield server


def found(all_told: list[Told]) -> set[str]:
    """The numbers of the workers that have had the sockets."""
    return {socket.partition(".")[0] for told in all_told for socket in told.ids}


async def test_polling_clients_are_served_whichever_worker_is_reached(server: Server) -> None:
    async with running_crowd(
        server.url, clients=12, count=50, delay_ms=5, transports=["polling"]
    ) as crowd:
        all_told = await crowd.all(20)
    for told in all_told:
        told.check()
        assert told.connects == 1
    assert len(found(all_told)) > 1


async def test_an_upgrade_finds_the_worker_that_has_the_socket(server: Server) -> None:
    async with running_crowd(server.url, clients=12, count=50, delay_ms=5) as crowd:
        for told in await crowd.all(20):
            told.check()
            assert (told.connects, told.ways[-2:]) == (1, ["polling", "websocket"])


async def test_a_socket_that_no_worker_has_is_refused(server: Server) -> None:
    async with aiohttp.ClientSession(server.url) as http:
        for worker in range(1, WORKERS + 2):
            query = {"EIO": "4", "transport": "polling", "sid": f"{worker}.none"}
            async with http.get("/socket.io/", params=query) as answer:
                assert answer.status == 400
                assert "Session ID unknown" in await answer.text()


async def test_one_look_shows_the_metrics_of_all_workers(server: Server) -> None:
    async with aiohttp.ClientSession(server.url) as http, http.get("/metrics") as answer:
        families = text_string_to_metric_families(await answer.text())
        shown = {
            sample.labels["worker"]
            for family in families
            for sample in family.samples
            if sample.name == "talksy_info"
        }
    assert shown == {"1", "2", "3"}


async def test_a_killed_worker_is_replaced_and_its_clients_come_back(server: Server) -> None:
    async with running_crowd(
        server.url, clients=12, count=20, delay_ms=20, turns=1_000, transports=["websocket"]
    ) as crowd:
        await crowd.begun()
        victim = await server.logged("worker_started")
        os.kill(victim["pid"], signal.SIGKILL)
        ended = await server.logged("worker_ended")
        assert (ended["worker"], ended["code"]) == (victim["worker"], -signal.SIGKILL)
        await server.logged("worker_replaced", START_SECONDS)
        await crowd.enough()
        all_told = await crowd.all(30)
    hit = [told for told in all_told if told.connects > 1]
    assert 0 < len(hit) < len(all_told)
    assert all(str(victim["worker"]) in found([told]) for told in hit)
    for told in all_told:
        told.check(among=("completed", "interrupted") if told in hit else ("completed",))


async def test_workers_speak_tls_and_renew_their_certificates_together(
    shared: dict[str, Any], tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    own = authority.issue("127.0.0.1")
    settings = {**shared, "TLS_CERT": own.path, "TLS_KEY": own.key}
    async with running_server("--workers=2", **settings) as server:
        async with running_crowd(
            server.url, clients=8, count=50, delay_ms=5, ca=authority.path.read_text()
        ) as crowd:
            for told in await crowd.all(20):
                told.check()
                assert (told.connects, told.ways[-2:]) == (1, ["polling", "websocket"])
        server.process.send_signal(signal.SIGHUP)
        for worker in (1, 2):
            await server.logged("certificate_renewed", worker=worker)


async def test_a_stop_waits_for_the_turns_of_every_worker(shared: dict[str, Any]) -> None:
    """Also for those whose clients come through a worker that has nothing to wait for."""
    settings = {**shared, "SHUTDOWN_TIMEOUT_MS": 10_000}
    async with running_server("--workers=2", **settings) as server:
        async with running_crowd(server.url, clients=4, count=100, delay_ms=10) as crowd:
            await crowd.begun()
            server.terminate()
            for told in await crowd.all(20):
                told.check()
        assert await server.ended() == 0
    assert [line["event"] for line in server.log].count("stopped") == 3


async def test_workers_end_with_a_parent_that_was_killed(shared: dict[str, Any]) -> None:
    async with running_server("--workers=2", **shared) as server:
        server.kill()
        assert await server.ended() == -signal.SIGKILL
        # They hold the other end of this pipe.
        await asyncio.to_thread(server.process.stdout.read)  # type: ignore[union-attr]


async def test_what_they_need_is_said_in_a_line(tmp_path: Path) -> None:
    for settings, missing in (
        ({}, "REDIS_URL"),
        ({"REDIS_URL": "redis://127.0.0.1:1"}, "PostgreSQL"),
    ):
        code, out, err = await talksy(tmp_path, "serve", "--workers=2", **settings)
        assert (code, out) == (1, "")
        assert err.startswith("talksy: --workers needs ")
        assert missing in err
        assert len(err.splitlines()) == 1


async def test_what_keeps_a_worker_from_starting_is_said_once(tmp_path: Path) -> None:
    settings = {"REDIS_URL": "redis://127.0.0.1:1", "DATABASE_URL": "postgresql://127.0.0.1:1/none"}
    code, _, err = await talksy(tmp_path, "serve", "--workers=2", PORT="0", **settings)
    assert code == 1
    assert len(err.splitlines()) == 1

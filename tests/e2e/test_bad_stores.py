"""What a node does at the start where Redis or the database is not what it should be."""

import asyncio
from pathlib import Path

import aiohttp

from talksy.database import Database
from tests.e2e.test_check import PRODUCTION
from tests.e2e.test_cli import talksy
from tests.e2e.test_metrics import Scrape
from tests.integration.database.opened import line
from tests.postgres import as_role, postgres_of
from tests.redis import running_redis
from tests.server import Server, running_server


async def refused(folder: Path, **settings: str) -> str:
    """The line in which a start is refused."""
    code, _, err = await talksy(folder, "serve", **PRODUCTION, PORT="0", **settings)
    assert (code, len(err.splitlines())) == (1, 1), err
    assert "secret" not in err
    return err


async def test_production_does_not_start_on_a_redis_that_takes_no_writes(tmp_path: Path) -> None:
    with running_redis(maxmemory="1", requirepass="secret", password="secret") as redis:
        told = await refused(tmp_path, REDIS_URL=redis.url.replace("//", "//:secret@"))
    assert told.startswith("talksy: Redis is full")


async def test_no_node_starts_on_a_database_that_it_may_not_write(tmp_path: Path) -> None:
    url = await postgres_of(tmp_path)
    role = f"secret_{url.rpartition('_')[2].partition('?')[0]}"
    async with Database.open(url), line(url) as owner:
        await owner.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{role}'")
        await owner.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
        told = await refused(tmp_path, DATABASE_URL=as_role(url, role))
        await owner.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
    assert told.startswith("talksy: the role of DATABASE_URL may not DELETE, INSERT, UPDATE on")


async def look(server: Server) -> tuple[str, Scrape]:
    """What readiness says, and the metrics."""
    async with aiohttp.ClientSession(server.url) as http:
        ready = await http.get("/health/ready")
        assert ready.status == 200
        status = (await ready.json())["status"]
        return status, Scrape(await (await http.get("/metrics")).text())


async def test_development_starts_without_its_redis_says_so_and_takes_it_when_it_is_there() -> None:
    with running_redis() as redis:
        redis.crash()
        async with running_server(REDIS_URL=redis.url) as server:
            [warned] = [line for line in server.log if "redis" in line["event"]]
            assert (warned["event"], warned["level"]) == ("redis_away", "warning")
            assert str(redis.port) in warned["reason"]
            status, seen = await look(server)
            assert (status, seen("redis_up"), seen("nodes")) == ("degraded", 0, 1)
            assert seen("redis_away_seconds") > 0
            await asyncio.to_thread(redis.start)
            await server.logged("redis_back")
            async with asyncio.timeout(5):
                while status != "ok":
                    status, seen = await look(server)
            assert (seen("redis_up"), seen("redis_hears"), seen("redis_away_seconds")) == (1, 1, 0)

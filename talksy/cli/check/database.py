"""The database: whether it serves, and what may go wrong with it."""

import time
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

from talksy.cli.check.findings import Finding, ms_since
from talksy.cli.check.place import unwritable
from talksy.config import Settings
from talksy.database import (
    Database,
    Outdated,
    SchemaError,
    Server,
    Standing,
    Unfit,
    Unreachable,
    inspect,
)
from talksy.errors import TalksyError


async def database(settings: Settings) -> AsyncGenerator[Finding]:
    """Whether its tables are up to date and a node may write them."""
    url = settings.database_url
    kind = "PostgreSQL" if settings.shares_database else "SQLite"
    if not settings.shares_database and not (path := _file(url)).exists():
        yield _made(path, migrates=settings.database_migrate)
        return
    started = time.perf_counter()
    try:
        async with Database.open(url, upgrade=False, pool_size=1) as opened:
            standing = await inspect(opened)
        standing.must_serve()
        said = f"{kind} {standing.version}, its tables are up to date"
        yield Finding("database", "ok", said, ms=ms_since(started))
        for finding in _risks(standing, settings):
            yield finding
    except Outdated as error:
        if settings.database_migrate:
            said = f"{kind}, its tables are brought up to date at the next start"
            yield Finding("database", "risky", said, "make a backup first")
        else:
            yield Finding("database", "failed", str(error))
    except (SchemaError, Unfit, Unreachable) as error:
        yield Finding("database", "failed", str(error))
    except TalksyError as error:
        yield Finding("database", "failed", f"{kind} does not serve: {error.message}")
    except OSError as error:
        yield Finding("database", "failed", f"{kind} cannot be opened: {error.strerror}")


def _file(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


def _made(path: Path, *, migrates: bool) -> Finding:
    """What will become of a file that is not there yet."""
    if not migrates:
        return Finding("database", "failed", "SQLite, not there yet", "run `talksy migrate`")
    if fault := unwritable(path.parent):
        said = f"SQLite cannot be made in {path.parent}: {fault}"
        return Finding("database", "failed", said, "set DATABASE_URL to a file that can be made")
    return Finding("database", "ok", "SQLite, made at the first start")


def _risks(standing: Standing, settings: Settings) -> Iterator[Finding]:
    if standing.clock_off:
        way = "ahead of" if standing.ahead_ms > 0 else "behind"
        yield Finding(
            "database",
            "risky",
            f"its clock is {abs(standing.ahead_ms) / 1000:.1f} s {way} ours",
            "set both by NTP: nodes go by the database's clock, their log lines by ours",
        )
    if len(standing.hosts) > 1 and settings.redis_url is None:
        yield Finding(
            "database",
            "risky",
            f"{len(standing.hosts)} nodes live, and there is no REDIS_URL: who reads an answer of "
            "another node gets it at its end, and limits count a node alone",
            "set REDIS_URL on all of them",
        )
    if standing.server is not None:
        yield from _server_risks(standing.server, len(standing.hosts), settings)


def _server_risks(server: Server, nodes: int, settings: Settings) -> Iterator[Finding]:
    if server.commits == "off" or not server.fsync:
        off = "synchronous_commit" if server.fsync else "fsync"
        yield Finding(
            "database",
            "risky",
            f"{off} is off: what was acknowledged may be gone after a crash of the server",
            f"turn it on (ALTER SYSTEM SET {off} = on)",
        )
    if server.followers and not server.waits:
        yield Finding(
            "database",
            "risky",
            f"{server.followers} standby(s) follow and no commit waits for one: who fails over may "
            "lose acknowledged messages and endings",
            "set synchronous_standby_names, or accept it",
        )
    wanted = (settings.database_pool_size + 1) * max(1, nodes)
    if wanted > server.room:
        yield Finding(
            "database",
            "risky",
            f"{max(1, nodes)} node(s) of DATABASE_POOL_SIZE={settings.database_pool_size} may open "
            f"{wanted} connections, and the server has {server.room}, of which {server.taken} are "
            "taken now",
            "lower DATABASE_POOL_SIZE or raise max_connections, unless a pooler stands between",
        )

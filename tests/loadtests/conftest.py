"""A server with room for a crowd, and load tests as somebody would run them."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest_asyncio

from loadtests.server import ROOMY
from tests.floors import ROOT
from tests.server import Server, running_server

SECONDS = 50.0
PATIENT = {"LOAD_SLACK": "100"}
"""What is slow here says something about this machine, not about what is tested."""


@dataclass
class Ran:
    """How a load test ended, and what it said."""

    code: int
    said: str

    @property
    def last(self) -> str:
        """Its last word."""
        return self.said.rstrip().splitlines()[-1]


@asynccontextmanager
async def loading(*arguments: str, **environ: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """``python -m loadtests`` while it runs. Locust changes what sockets do, so never in here."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "ignore", "-m", "loadtests", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=ROOT,
        env={**os.environ, **PATIENT, **environ},
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


async def ended(process: asyncio.subprocess.Process) -> Ran:
    """What it said, once it has ended."""
    async with asyncio.timeout(SECONDS):
        out, _ = await process.communicate()
    assert process.returncode is not None
    return Ran(process.returncode, out.decode())


async def loaded(*arguments: str, **environ: str) -> Ran:
    """A load test from its start to its end."""
    async with loading(*arguments, **environ) as process:
        return await ended(process)


@asynccontextmanager
async def roomy(**settings: object) -> AsyncIterator[Server]:
    """A server for a crowd, whose passwords cost little."""
    chosen: dict[str, Any] = {**ROOMY, "BCRYPT_ROUNDS": 4, "PYTHONPATH": ROOT, **settings}
    async with running_server(**chosen) as server:
        yield server


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def server() -> AsyncIterator[Server]:
    """One where all is well."""
    async with roomy() as server:
        yield server


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def strict() -> AsyncIterator[Server]:
    """One that lets 31 messages through, and two connections; and has no tool to approve."""
    limits = {"RATE_LIMIT_MAX_REQUESTS": 31, "MAX_SOCKETS_PER_USER": 2}
    async with roomy(TOOL_MODULES="", **limits) as server:
        yield server

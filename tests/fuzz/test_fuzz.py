"""A little of what ``make fuzz`` does at length."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.e2e.accounts import Account
from tests.e2e.client import Client
from tests.fuzz import NO_LIMITS
from tests.fuzz.rest import fuzz_rest
from tests.fuzz.sockets import fuzz_sockets
from tests.fuzz.tally import resident
from tests.server import Server, running_server

SEED = 1
"""The same in each run of the suite: what is new is looked for by ``make fuzz``."""
GROWTH_MB = 40
"""By so much a server may grow that has seen its first few hundred payloads, caches filled."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def unlimited() -> AsyncIterator[Server]:
    """It must end without an error in its log. It has listened once: ears stay loaded."""
    async with running_server(**NO_LIMITS) as server:
        account = await Account.register(server.url)
        client = await Client.connect(server.url, auth={"token": account.token})
        assert (await client.call("voice_start", {"sampleRate": 48_000}))["ok"]
        assert (await client.call("audio", bytes(96_000)))["ok"]
        await client.close()
        yield server


@pytest.mark.asyncio(loop_scope="module")
async def test_whatever_comes_by_rest_is_answered_as_the_contract_says(unlimited: Server) -> None:
    tally = await asyncio.to_thread(fuzz_rest, unlimited.url, 400, SEED)
    assert tally.sent > 300
    assert {"200", "400", "401"} <= tally.answers.keys()


@pytest.mark.asyncio(loop_scope="module")
async def test_whatever_comes_by_socket_is_answered_and_disturbs_nobody(unlimited: Server) -> None:
    before = resident(unlimited.process.pid)
    tally = await fuzz_sockets(unlimited.url, 500, SEED)
    assert tally.sent > 400
    assert {"ok", "VALIDATION_ERROR", "UNKNOWN_EVENT"} <= tally.answers.keys()
    assert resident(unlimited.process.pid) - before < GROWTH_MB

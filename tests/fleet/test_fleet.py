"""Stock clients, a stock balancer, three nodes: polling, restarts, a killed node."""

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from tests.fleet.crowd import running_crowd
from tests.fleet.fleet import Fleet, running_fleet

ROOT = Path(__file__).parents[2]
# A node that a test starts again lives as long as the fleet, and so does its loop.
pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def fleet() -> AsyncIterator[Fleet]:
    async with running_fleet(NODE_LEASE_MS=4_000) as fleet:
        yield fleet


async def test_twelve_polling_clients_of_one_address_are_served_by_three_nodes(
    fleet: Fleet,
) -> None:
    async with running_crowd(
        fleet.url, clients=12, count=50, delay_ms=5, transports=["polling"]
    ) as crowd:
        all_told = await crowd.all(20)
    for told in all_told:
        told.check()
        assert told.connects == 1
    assert {told.ids[0].partition(".")[0] for told in all_told} == {"node1", "node2", "node3"}


@pytest.mark.timeout(120)
async def test_nodes_restart_one_after_another_and_no_client_misses_a_token(fleet: Fleet) -> None:
    """Half of the clients move when their node says so, half when it hangs up."""
    async with running_crowd(
        fleet.url, clients=20, count=50, delay_ms=30, turns=1_000, moves=0.5
    ) as crowd:
        await crowd.begun()
        for node in fleet.nodes:
            await node.restart()
        await crowd.enough()
        all_told = await crowd.all(20)
    for told in all_told:
        told.check()
    assert all(told.connects > 1 for told in all_told)


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
async def test_what_the_shipped_probes_ask_for_is_there(fleet: Fleet, path: str) -> None:
    shipped = "".join((ROOT / name).read_text() for name in ("Dockerfile", "docker-compose.yml"))
    assert path in shipped
    async with aiohttp.ClientSession(fleet.url) as http, http.get(path) as answer:
        assert answer.status == 200


async def test_a_killed_node_is_left_at_once(fleet: Fleet) -> None:
    """By those who come and those who were there: none of them waits for a time to run out."""
    async with running_crowd(fleet.url, clients=12, count=20, delay_ms=10, turns=1_000) as crowd:
        await crowd.begun()
        await fleet.nodes[0].kill()
        async with running_crowd(fleet.url, clients=12, count=20) as newcomers:
            for told in await newcomers.all(10):
                told.check()
                assert told.connects == 1
        await crowd.enough()
        all_told = await crowd.all(20)
    for told in all_told:
        told.check(among=("completed", "interrupted"))

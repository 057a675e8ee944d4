"""Two real nodes on one PostgreSQL and one Redis, and a process beside them that has something to
say to a user.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio
import socketio

from tests.e2e.accounts import Account
from tests.e2e.client import Client
from tests.postgres import postgres_of
from tests.redis import shared_redis
from tests.server import Server, running_server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def nodes(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[list[Server]]:
    database_url = await postgres_of(tmp_path_factory.mktemp("rooms"))
    shared: dict[str, Any] = {"DATABASE_URL": database_url, "REDIS_URL": shared_redis().url}
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(running_server(**shared)) for _ in range(2)]


async def device(node: Server, account: Account) -> tuple[asyncio.Queue[Any], socketio.AsyncClient]:
    """A device of the user's on a node, and what it is sent beside the contract."""
    got = asyncio.Queue[Any]()
    client = socketio.AsyncClient(reconnection=False)
    client.on("order_shipped", got.put_nowait)
    await client.connect(node.url, auth={"token": account.token}, transports=["websocket"])
    return got, client


async def test_a_process_beside_the_nodes_reaches_a_user_on_both(nodes: list[Server]) -> None:
    account = await Account.register(nodes[0].url)
    devices = [await device(node, account) for node in nodes]
    outside = socketio.AsyncRedisManager(shared_redis().url, write_only=True)
    for number in range(3):
        await outside.emit("order_shipped", {"orderId": number}, room=f"user:{account.id}")
    async with asyncio.timeout(5):
        for got, client in devices:
            assert [await got.get() for _ in range(3)] == [{"orderId": n} for n in range(3)]
            await client.disconnect()
    await outside.redis.aclose()


async def test_a_logout_on_one_node_closes_the_sockets_on_the_other(nodes: list[Server]) -> None:
    here, there = nodes
    account = await Account.register(here.url)
    client = await Client.connect(there.url, auth={"token": account.token})
    await client.session()
    async with asyncio.timeout(0.25):
        await account.logout()
        await client.wait("error", code="UNAUTHENTICATED")
    await client.disconnected()
    await client.close()


async def test_a_client_takes_its_session_to_the_other_node(nodes: list[Server]) -> None:
    here, there = nodes
    account = await Account.register(here.url)
    client = await Client.connect(here.url, auth={"token": account.token})
    session_id = (await client.session())["sessionId"]
    await client.ending((await client.say("/mock tokens=3"))["turnId"])
    await client.close()
    auth = {"token": account.token, "sessionId": session_id}
    client = await Client.connect(there.url, auth=auth)
    restored = await client.wait("SESSION_RESTORED")
    assert [message["content"] for message in restored["history"]] == ["/mock tokens=3", "0 1 2 "]
    await client.close()

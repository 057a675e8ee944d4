"""What black-box tests share: a server, accounts, clients."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.e2e.accounts import Account
from tests.e2e.client import Client, Refused, Transport
from tests.server import Server, running_server


@dataclass(frozen=True)
class Door:
    """Opens connections that are closed when the test ends."""

    url: str
    transport: Transport
    _stack: AsyncExitStack

    async def open(
        self, account: Account | None = None, *, headers: dict[str, str] | None = None, **auth: Any
    ) -> Client:
        """A connection of ``account``; ``auth`` goes into the handshake. Raises ``Refused``."""
        if account is not None:
            auth = {"token": account.token, **auth}
        client = await Client.connect(
            self.url, transport=self.transport, auth=auth, headers=headers
        )
        self._stack.push_async_callback(client.close)
        # What happens before it knows its session is in the history that comes with it.
        await client.session()
        return client

    async def refused(self, account: Account | None = None, **auth: Any) -> dict[str, Any]:
        """The error of a handshake that must be refused."""
        try:
            client = await self.open(account, **auth)
        except Refused as refused:
            return refused.error
        raise AssertionError(f"it was let in: {client.events}")

    def at(self, url: str) -> "Door":
        """The same for another server."""
        return Door(url, self.transport, self._stack)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def server() -> AsyncIterator[Server]:
    """One server for all tests that need no settings of their own."""
    async with running_server() as server:
        yield server


@pytest.fixture(params=["websocket", "polling"])
def transport(request: pytest.FixtureRequest) -> Transport:
    """Each test that asks for it runs with both transports."""
    chosen: Transport = request.param
    return chosen


@pytest.fixture
async def open_clients() -> AsyncIterator[AsyncExitStack]:
    """Closes what was opened when the test ends."""
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
def door(server: Server, transport: Transport, open_clients: AsyncExitStack) -> Door:
    """The way in, with both transports."""
    return Door(server.url, transport, open_clients)


@pytest.fixture
def websocket_door(server: Server, open_clients: AsyncExitStack) -> Door:
    """The way in, where the transport does not matter."""
    return Door(server.url, "websocket", open_clients)


@pytest.fixture
async def account(server: Server) -> Account:
    """A fresh account."""
    return await Account.register(server.url)


@pytest.fixture
async def stranger(server: Server) -> Account:
    """Another fresh account."""
    return await Account.register(server.url)


@pytest.fixture
async def client(door: Door, account: Account) -> Client:
    """A connection of ``account`` in a new session."""
    return await door.open(account)


@pytest.fixture
async def http(server: Server) -> AsyncIterator[aiohttp.ClientSession]:
    """A plain HTTP client of the server."""
    async with aiohttp.ClientSession(server.url) as session:
        yield session

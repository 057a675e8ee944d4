"""Many who come at once are let in a few at a time, and nobody waits for ever."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from talksy.transports.http import Runner
from talksy.transports.socketio import Limits, Transport, door, open_server
from tests.e2e.client import Client, Refused
from tests.integration.database.opened import locked, until
from tests.integration.gateway.rig import House

KINDS: tuple[Transport, ...] = ("own", "library")


@asynccontextmanager
async def serving(house: House, kind: Transport) -> AsyncIterator[tuple[door.Door, str]]:
    server = open_server(
        kind,
        house.gateway,
        origins=("*",),
        trusted_proxies=(),
        limits=Limits(ping_interval=0.1),  # a task of the library's sleeps so long
    )
    app = web.Application()
    server.attach(app)
    runner = Runner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield server, f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await server.close()
        await runner.cleanup()


@pytest.mark.parametrize("kind", KINDS)
async def test_who_waits_for_others_is_let_in_after_them_or_told_so(
    house: House, file: Path, kind: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "AT_ONCE", 1)
    auth = {"token": await house.token()}

    def coming(url: str) -> asyncio.Task[Client]:
        return asyncio.create_task(Client.connect(url, auth=auth))

    async with serving(house, kind) as (server, url):
        async with locked(file):
            first = coming(url)
            await until(server._entrance.locked)
            monkeypatch.setattr(door, "LINE_SECONDS", 0.05)
            with pytest.raises(Refused) as refused:
                await coming(url)
            assert refused.value.args[0]["data"]["code"] == "OVERLOADED"
            monkeypatch.setattr(door, "LINE_SECONDS", 10)
            second = coming(url)
            await until(lambda: server._entrance._waiters)
        for client in (await first, await second):
            assert await client.session()
            await client.close()
        assert not server._entrance.locked()


async def test_who_goes_while_it_waits_takes_nobodys_place(
    house: House, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "AT_ONCE", 1)
    auth = {"token": await house.token()}
    async with serving(house, "own") as (server, url):
        async with locked(file):
            first = asyncio.create_task(Client.connect(url, auth=auth))
            await until(server._entrance.locked)
            gone = asyncio.create_task(Client.connect(url, auth=auth))
            await until(lambda: server._entrance._waiters)
            gone.cancel()
            await asyncio.wait([gone])
        for client in (await first, await Client.connect(url, auth=auth)):
            assert await client.session()
            await client.close()
        assert not server._entrance.locked()

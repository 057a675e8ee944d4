"""The stock JavaScript client, which is asked for everything that it can do."""

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.node import ready_node, run
from tests.protocol.process import App, running
from tests.protocol.wire import Wire, opened, polling, probing

CHECKS = Path(__file__).parent / "js" / "checks.mjs"
NAMES = re.findall(r'^  "(.+)": async', CHECKS.read_text(encoding="utf-8"), re.MULTILINE)
TRANSPORTS = {
    "websocket": ["websocket"],
    "upgrade": ["polling", "websocket"],
    "polling": ["polling"],
}
SECONDS = 50.0

Told = dict[str, str | None]
"""What was wrong with each check, None where nothing was."""
ALL_WELL: Told = dict.fromkeys(NAMES)


async def checked(url: str, transport: str, *authority: str) -> Told:
    """Runs all checks of ``checks.mjs``."""
    node = ready_node()
    transports = json.dumps(TRANSPORTS[transport])
    command = [node.program, str(CHECKS), str(node.modules), url, transports, *authority]
    out, _ = await run(*command, cwd=CHECKS.parent, seconds=SECONDS)
    lines = [json.loads(line) for line in out.splitlines()]
    return {line["name"]: line["fault"] for line in lines}


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_the_stock_client_finds_everything(shop: App, transport: str) -> None:
    assert await checked(shop.url, transport) == ALL_WELL


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[tuple[App, Authority]]:
    """The same over TLS."""
    authority = Authority(tmp_path)
    certificate = authority.issue("localhost")
    tls = ("--tls", str(certificate.path), str(certificate.key))
    with running("tests.protocol.app", "uvloop", *tls) as app:
        yield app, authority


async def test_the_stock_client_finds_everything_over_tls(secure: tuple[App, Authority]) -> None:
    app, authority = secure
    assert await checked(app.url, "upgrade", str(authority.path)) == ALL_WELL


async def kept(wire: Wire) -> dict[str, int]:
    """How much is kept of clients."""
    wire.send('420["kept"]')
    answer = await wire.receive()
    assert isinstance(answer, str)
    (found,) = json.loads(answer.removeprefix("430"))
    return dict(found)


async def test_nothing_is_kept_of_clients_that_have_gone(shop: App) -> None:
    async with opened(shop.url, "/socket.io/") as wire, asyncio.timeout(5):
        wire.send("40")
        await wire.receive()
        before = await kept(wire)
        await come_and_go(shop, upgraded=True)
        await come_and_go(shop, upgraded=False)
        now = await kept(wire)
        while any(now[name] > before[name] for name in before):
            await asyncio.sleep(0.05)  # the last may still be saying goodbye
            now = await kept(wire)


async def come_and_go(shop: App, *, upgraded: bool) -> None:
    """Leaves in the middle of everything: in rooms, asked for an answer, sending bytes."""
    async with polling(shop.url, "/socket.io/") as client, probing(client) as wire:
        await client.post("40", "40/other,", '421["enter","room"]', '42["ask",1]')
        half = '451-["echo",{"_placeholder":true,"num":0}]'
        if upgraded:
            wire.send("5", half)
            await wire.writer.drain()
        else:
            await client.post(half, "1")


async def test_what_comes_while_a_client_is_let_in_is_served_then(shop: App) -> None:
    async with polling(shop.url, "/socket.io/") as client:
        entering = asyncio.create_task(client.post('40{"seconds":0.1}'))
        await asyncio.sleep(0.03)  # it has to be there
        await asyncio.gather(entering, client.post('421["echo",1]'), client.post('422["echo",2]'))
        connect, *acks = (await client.poll())[1].split("\x1e")
    assert connect.startswith("40{")
    assert sorted(acks) == ["431[1]", "432[2]"]


async def test_a_websocket_may_speak_before_it_is_let_in(shop: App) -> None:
    async with opened(shop.url, "/socket.io/") as wire:
        wire.send('40{"seconds":0.1}')
        await wire.writer.drain()
        await asyncio.sleep(0.03)  # that has to be there
        wire.send('421["echo",1]', '422["echo",2]')
        connect, *acks = [await wire.receive() for _ in range(3)]
    assert str(connect).startswith("40{")
    assert acks == ["431[1]", "432[2]"]

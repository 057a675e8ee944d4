"""What aiohttp's server does of itself: it hangs up on who says nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from aiohttp import web

from talksy.transports.http import Runner
from tests.protocol.wire import connected

HEAD_SECONDS = 0.1
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
async def url() -> AsyncIterator[str]:
    """Of a server that waits for requests as short as it takes."""
    runner = Runner(web.Application(), head_seconds=HEAD_SECONDS)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield site.name
    await runner.cleanup()


@pytest.mark.parametrize("head", [b"", b"G", REQUEST[:-2]], ids=["silent", "a byte", "half"])
async def test_who_does_not_ask_in_time_is_hung_up_on(url: str, head: bytes) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with connected(url) as wire:
        wire.writer.write(head)
        assert await wire.reader.read() == b""
    assert loop.time() - began >= HEAD_SECONDS - 0.01


async def test_a_byte_now_and_then_is_no_request(url: str) -> None:
    async with connected(url) as wire:
        end = asyncio.create_task(wire.reader.read())
        for byte in REQUEST:
            wire.writer.write(bytes([byte]))
            if (await asyncio.wait([end], timeout=HEAD_SECONDS / 5))[0]:
                break
        with suppress(ConnectionError):  # what it sent last found nobody
            assert await end == b""


async def test_who_has_asked_may_be_silent(url: str) -> None:
    async with connected(url) as wire:
        for _ in range(2):
            wire.writer.write(REQUEST)
            assert (await wire.reader.readline()).startswith(b"HTTP/1.1 404 ")
            await wire.reader.readuntil(b"404: Not Found")
            await asyncio.sleep(2 * HEAD_SECONDS)

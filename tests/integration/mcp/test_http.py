"""Tools of MCP servers that are called by streamable HTTP."""

import asyncio
import gzip
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.integration.mcp.liar import Liar
from tests.integration.mcp.rig import HERE, SECONDS, rig, until
from tests.postgres import free_port

SESAME = {"Authorization": "Bearer sesame"}


class Office:
    """The server in a process of its own, which can be ended and started again."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/mcp"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen([sys.executable, HERE / "office.py", str(self.port)])

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    async def there(self) -> None:
        """Returns when it can be called."""
        async with asyncio.timeout(SECONDS):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                except OSError:
                    await asyncio.sleep(0.02)
                else:
                    writer.close()
                    await writer.wait_closed()
                    return


class WebLiar(Liar):
    """The same habits by HTTP, an answer a request."""

    said: bytes = b""

    def say(self, **message: Any) -> None:
        self.said = json.dumps({"jsonrpc": "2.0", **message}).encode()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
                asked = json.loads(await reader.readexactly(int(length[1])) if length else b"{}")
                self.said, status = b"", b"202 Accepted"
                if "id" in asked and "method" in asked:
                    status = b"200 OK"
                    self.answer(asked["id"], asked["method"], asked.get("params", {}))
                packed = b""
                if self.habit == "packed":
                    packed, self.said = b"content-encoding: gzip\r\n", gzip.compress(self.said)
                writer.write(b"HTTP/1.1 " + status + b"\r\ncontent-type: application/json\r\n")
                writer.write(packed + b"content-length: %d\r\n\r\n" % len(self.said) + self.said)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


@asynccontextmanager
async def web_liar(habit: str) -> AsyncIterator[str]:
    """Where it is to be called."""
    server = await asyncio.start_server(WebLiar(habit).serve, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/mcp"
    server.close()


@pytest.fixture(scope="module")
def running() -> Iterator[Office]:
    office = Office()
    office.start()
    yield office
    office.kill()


async def test_a_call_goes_there_and_is_cancelled_there(running: Office, tmp_path: Path) -> None:
    await running.there()
    note = tmp_path / "cancelled"
    async with rig(office={"url": running.url, "headers": SESAME, "timeout_ms": 300}) as here:
        code, _ = await here.error("office__wait", path=str(note))
        assert code == "TOOL_TIMEOUT"
        await until(note.exists, "the server heard that it is cancelled")
        assert (await here.call("office__add", a=1, b=2)).result == {"result": 3}


async def test_a_new_tool_is_offered_as_soon_as_it_is_told_of(running: Office) -> None:
    await running.there()
    async with rig(office={"url": running.url, "headers": SESAME}) as here:
        await until(lambda: "office__add" in here.names(), "its tools are there")
        await here.call("office__hire", person="ada")
        await until(lambda: "office__ada" in here.names(), "the list was asked for again")


async def test_who_is_not_let_in_is_told_why(running: Office) -> None:
    await running.there()
    async with rig(office={"url": running.url}) as here:
        assert here.state("office").reason == "it answered with HTTP 401"
        assert here.names() == []


async def test_a_server_that_goes_and_comes_is_found_again(running: Office) -> None:
    async with rig(office={"url": running.url, "headers": SESAME, "include": ["add"]}) as here:
        running.kill()
        code, message = await here.error("office__add", a=1, b=2)
        assert code == "TOOL_FAILED"
        assert "went away in the call" in message
        await until(lambda: here.names() == [], "its tools are gone with it")
        assert here.state("office").reason == "it failed with ConnectError"
        running.start()
        await until(lambda: here.names() == ["office__add"], "it is found again")
        assert (await here.call("office__add", a=1, b=2)).status == "done"


async def test_ten_megabytes_cost_the_call_alone() -> None:
    async with web_liar("flood") as url, rig(liar={"url": url}) as here:
        code, message = await here.error("liar__ask")
        assert (code, "longer than 4194304 bytes" in message) == ("TOOL_FAILED", True)
        assert here.names() == ["liar__ask"]


async def test_what_is_packed_against_our_word_is_not_unpacked() -> None:
    async with web_liar("packed") as url, rig(liar={"url": url}) as here:
        assert here.state("liar").reason == "it failed with DecodingError"

"""What is no HTTP is refused like every other mistake, and what was sent stays out of the log."""

import asyncio
import json

import pytest

from tests.server import Server


@pytest.mark.parametrize(
    "sent",
    [
        b"M1 /secret HTTP/1.1\r\n\r\n",
        b"GET /secret HTTP/1.1\r\nno header\r\n\r\n",
        b"GET /secret\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /" + 10_000 * b"secret" + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: secret\r\n\r\n",
        b"\x16\x03\x01secret\r\n\r\n",
    ],
    ids=["method", "header", "NUL", "long line", "length", "TLS"],
)
async def test_what_is_no_http_is_told_so(server: Server, sent: bytes) -> None:
    host, _, port = server.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    # A request that is in order comes first: aiohttp looks away at others that begin a connection.
    writer.write(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
    await reader.readuntil(b'{"status":"ok"}')
    writer.write(sent)
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()

    assert b" 400 " in head.split(b"\r\n")[0]
    assert b"\r\nServer: talksy\r\n" in head
    assert b"\r\nX-Request-Id: req_" in head
    assert b"\r\nContent-Type: application/problem+json" in head
    assert json.loads(body)["code"] == "VALIDATION_ERROR"
    assert b"secret" not in body
    assert "secret" not in str(server.log)

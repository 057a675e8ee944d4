"""Which requests are read here, and what is read of them."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from talksy.transports.socketio.engine.plain import HEAD_BYTES, Plain, read

POLL = "GET /socket.io/?EIO=4&transport=polling&sid=a.b-c_1 HTTP/1.1"
POST = "POST /socket.io/?EIO=4&transport=polling&sid=a HTTP/1.1"
UPGRADE = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1"
HOST = "Host: localhost:1"


class Here:
    """The place of a request that goes nowhere."""

    remote = "192.0.2.1"

    def leave(self, key: bytes, make: Callable[[asyncio.Transport, bytes], Any]) -> Any:
        raise NotImplementedError


def head(*lines: str) -> bytes:
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def found(data: bytes) -> tuple[Plain, str, bytes]:
    told = read(data, Here())
    assert told is not None
    return told


async def test_what_stock_clients_send_is_read() -> None:
    ask, path, rest = found(head(POLL, HOST, "Accept: */*", "Connection: Keep-Alive") + b"GET")
    assert (ask.method, path, rest) == ("GET", "/socket.io/", b"GET")
    assert ask.query == {"EIO": "4", "transport": "polling", "sid": "a.b-c_1"}
    assert ask.raw_path == "/socket.io/?EIO=4&transport=polling&sid=a.b-c_1"
    assert ask.raw_headers[:2] == [(b"Host", b"localhost:1"), (b"Accept", b"*/*")]
    assert ask.header("accept") == "*/*"
    assert ask.header("origin") is None
    assert ask.remote == "192.0.2.1"
    assert await ask.body(0) == b""


async def test_a_body_that_is_there_is_read() -> None:
    ask, _, rest = found(head(POST, HOST, "Content-Length: 3") + "4ü".encode() + b"x")
    assert await ask.body(3) == "4ü".encode()
    assert rest == b"x"


def test_an_upgrade_is_read() -> None:
    ask, _, rest = found(head(UPGRADE, HOST, "Connection: Upgrade", "Upgrade: websocket") + b"\x81")
    assert (ask.query["transport"], rest) == ("websocket", b"\x81")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GET",
        head(POLL, HOST)[:-1],
        head(POLL),
        head(POLL, "Host localhost"),
        head(POLL, "Host : localhost"),
        head(POLL, HOST, " folded"),
        head(POLL, HOST, "X-Page: ü"),
        head(POLL, HOST, "X-Page: \0"),
        head(POLL, HOST, HOST),
        head(POLL, HOST, "host: elsewhere"),
        head(POLL, HOST, "Connection: close"),
        head(POLL, HOST, "Upgrade: h2c"),
        head(POLL, HOST, "Content-Length: 1") + b"1",
        head(POLL, HOST, "X-Page: " + HEAD_BYTES * "x"),
        head(POLL, HOST).replace(b"\r\n", b"\n"),
        head(POLL.replace("1.1", "1.0"), HOST),
        head(POLL.replace("GET", "OPTIONS"), HOST),
        head(POLL.replace("GET", "get"), HOST),
        head(POLL + " ", HOST),
        head(POLL.replace("sid=a", "sid=%61"), HOST),
        head(POLL.replace("sid=a", "sid=a+b"), HOST),
        head(POLL.replace("sid=a", "sid=b&sid=a"), HOST),
        head(POLL.replace("/socket.io/?", "http://localhost/socket.io/?"), HOST),
        head("GET /socket.io/ HTTP/1.1", HOST),
        head(POST, HOST),
        head(POST, HOST, "Content-Length: 4") + b"4ab",
        head(POST, HOST, "Content-Length: +2") + b"4a",
        head(POST, HOST, "Content-Length: -1") + b"4a",
        head(POST, HOST, "Content-Length: 2, 2") + b"4a",
        head(POST, HOST, "Content-Length: 2", "Content-Length: 2") + b"4a",
        head(POST, HOST, "Content-Length: 2", "Transfer-Encoding: chunked") + b"4a",
        head(POST, HOST, "Content-Length: 2", "Content-Encoding: gzip") + b"4a",
        head(POST, HOST, "Content-Length: 2", "Expect: 100-continue") + b"4a",
        head(POST, HOST, "Content-Length: 99999999") + b"4a",
        head(UPGRADE, HOST, "Connection: Upgrade", "Upgrade: h2c"),
        head(UPGRADE, HOST),
    ],
    ids=lambda data: ascii(data.decode("latin-1")[-60:]),
)
def test_everything_else_is_left_to_others(data: bytes) -> None:
    assert read(data, Here()) is None

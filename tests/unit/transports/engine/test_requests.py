"""What is read of the request that a socket comes by."""

from typing import Any

import pytest
from aiohttp import HttpVersion10
from aiohttp.test_utils import make_mocked_request

from talksy.transports.socketio.engine.environ import Environ
from talksy.transports.socketio.engine.takeover import Relayed, websocket_key

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
UPGRADE = {
    "Host": "talksy.example",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": KEY,
    "Sec-WebSocket-Version": "13",
}


def request(method: str = "GET", target: str = "/socket.io/", **more: Any) -> Relayed:
    """A request for an upgrade; ``headers`` are beside those of one, and None leaves one out."""
    headers = {**UPGRADE, **more.pop("headers", {})}
    given = {name: value for name, value in headers.items() if value is not None}
    return Relayed(make_mocked_request(method, target, headers=given, **more))


# ---- the key


def test_a_request_that_is_in_order_has_its_key() -> None:
    assert websocket_key(request()) == KEY.encode()


@pytest.mark.parametrize("hops", ["Upgrade", "upgrade", "keep-alive, Upgrade", "UPGRADE,close"])
def test_the_upgrade_may_stand_among_others(hops: str) -> None:
    assert websocket_key(request(headers={"Connection": hops})) == KEY.encode()


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-WebSocket-Key": None},
        {"Sec-WebSocket-Key": ""},
        {"Sec-WebSocket-Key": "c2hvcnQ="},
        {"Sec-WebSocket-Key": KEY + "AAAA"},
        {"Sec-WebSocket-Key": KEY[:-1]},
        {"Sec-WebSocket-Key": "ü" * 22 + "=="},
        {"Connection": None},
        {"Connection": "keep-alive"},
        {"Connection": "not-upgrade"},
        {"Sec-WebSocket-Version": None},
        {"Sec-WebSocket-Version": "8"},
        {"Sec-WebSocket-Version": "13, 8"},
    ],
)
def test_one_that_is_not_has_none(headers: dict[str, str | None]) -> None:
    assert websocket_key(request(headers=headers)) is None


def test_only_a_get_of_http_1_1_may_upgrade() -> None:
    assert websocket_key(request("POST")) is None
    assert websocket_key(request(version=HttpVersion10)) is None


# ---- the environment


def test_handlers_find_the_request_where_they_are_used_to() -> None:
    told = Environ(request(target="/socket.io/?EIO=4&page=a%20b", headers={"X-Page": " ü, 1 "}))
    assert told["REQUEST_METHOD"] == "GET"
    assert told["PATH_INFO"] == "/socket.io/"
    assert told["QUERY_STRING"] == "EIO=4&page=a%20b"
    assert told["RAW_URI"] == "/socket.io/?EIO=4&page=a%20b"
    assert told["HTTP_HOST"] == "talksy.example"
    assert told["HTTP_X_PAGE"] == "ü, 1"
    assert told["SERVER_PROTOCOL"] == "HTTP/1.1"
    assert told["wsgi.url_scheme"] == "http"
    assert "HTTP_X_OTHER" not in told
    assert told.get("HTTP_X_OTHER", "none") == "none"


def test_a_body_is_told_without_http_before_it() -> None:
    told = Environ(request("POST", headers={"Content-Type": "text/plain", "Content-Length": "5"}))
    assert (told["CONTENT_TYPE"], told["CONTENT_LENGTH"]) == ("text/plain", "5")
    assert set(told) >= {"CONTENT_TYPE", "HTTP_HOST", "REMOTE_ADDR"}
    assert len(told) == len(set(told))


def test_a_proxy_tells_the_scheme() -> None:
    told = Environ(request(headers={"X-Forwarded-Proto": "https"}))
    assert told["wsgi.url_scheme"] == "https"


def test_only_what_will_be_asked_for_is_kept() -> None:
    told = Environ(request(headers={"X-Page": "1"}), keep={"x-page"})
    assert told["HTTP_X_PAGE"] == "1"
    assert "HTTP_HOST" not in told

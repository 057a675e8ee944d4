"""What every answer carries."""

import re
from ipaddress import ip_network

import pytest

from tests.integration.rest.conftest import Rig, Serve

PAGE = {"Origin": "https://page.example"}
PREFLIGHT = {"Access-Control-Request-Method": "POST"}


@pytest.mark.parametrize(
    "path", ["/", "/nothing", "/crash", "/auth/me", "/elsewhere", "/socket.io/"]
)
async def test_every_answer_has_a_request_id(rig: Rig, path: str) -> None:
    answer = await rig.client.get(path, allow_redirects=False)
    assert re.fullmatch(r"req_[\w-]{22}", answer.headers["X-Request-Id"])


@pytest.mark.parametrize("given", ["a", "req-1.2_3", "x" * 64])
async def test_a_clients_own_id_is_taken(rig: Rig, given: str) -> None:
    answer = await rig.client.get("/", headers={"X-Request-Id": given})
    assert answer.headers["X-Request-Id"] == given


@pytest.mark.parametrize("given", ["", "a b", "x" * 65, "<script>", "ü"])
async def test_what_is_no_id_is_replaced(rig: Rig, given: str) -> None:
    answer = await rig.client.get("/", headers={"X-Request-Id": given})
    assert answer.headers["X-Request-Id"].startswith("req_")


async def test_answers_are_not_sniffed_and_tokens_not_stored(rig: Rig) -> None:
    answer = await rig.client.get("/auth/me")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Cache-Control" not in (await rig.client.get("/")).headers


async def test_a_page_of_the_list_may_read_with_credentials(rig: Rig) -> None:
    answer = await rig.client.get("/", headers=PAGE)
    assert answer.headers["Access-Control-Allow-Origin"] == "https://page.example"
    assert answer.headers["Access-Control-Allow-Credentials"] == "true"
    assert "Retry-After" in answer.headers["Access-Control-Expose-Headers"]
    assert answer.headers["Vary"] == "Origin"


async def test_a_page_of_the_list_may_read_errors_too(rig: Rig) -> None:
    answer = await rig.client.get("/auth/me", headers=PAGE)
    assert answer.headers["Access-Control-Allow-Origin"] == "https://page.example"


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "https://page.example.evil"])
async def test_another_page_gets_an_answer_without_cors_headers(rig: Rig, origin: str) -> None:
    for method, more, status in (("GET", {}, 200), ("OPTIONS", PREFLIGHT, 204)):
        answer = await rig.client.request(method, "/", headers={"Origin": origin} | more)
        assert answer.status == status
        assert not [name for name in answer.headers if name.startswith("Access-Control")]
        assert answer.headers["Vary"] == "Origin"


async def test_a_preflight_is_answered_without_a_body(rig: Rig) -> None:
    answer = await rig.client.options("/auth/login", headers=PAGE | PREFLIGHT)
    assert (answer.status, await answer.read()) == (204, b"")
    assert "POST" in answer.headers["Access-Control-Allow-Methods"]
    assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]
    assert answer.headers["Access-Control-Allow-Origin"] == "https://page.example"


async def test_options_that_ask_nothing_are_a_wrong_method(rig: Rig) -> None:
    assert (await rig.client.options("/auth/login", headers=PAGE)).status == 405
    assert (await rig.client.options("/auth/login", headers=PREFLIGHT)).status == 405


async def test_our_own_page_may_always_read(rig: Rig) -> None:
    origin = f"http://{rig.client.host}:{rig.client.port}"
    answer = await rig.client.get("/", headers={"Origin": origin})
    assert answer.headers["Access-Control-Allow-Origin"] == origin


async def test_any_origin_means_any_without_credentials(serving: Serve) -> None:
    async with serving(origins=("*",)) as rig:
        for method, more in (("GET", {}), ("OPTIONS", PREFLIGHT)):
            answer = await rig.client.request(method, "/", headers=PAGE | more)
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
            assert "Access-Control-Allow-Credentials" not in answer.headers
            assert "Vary" not in answer.headers


async def test_pages_may_read_what_socketio_answers_and_nothing_else_of_it_changes(
    rig: Rig,
) -> None:
    answer = await rig.client.get("/socket.io/", headers=PAGE)
    assert (answer.status, await answer.text()) == (400, "polling")
    assert answer.headers["Access-Control-Allow-Origin"] == PAGE["Origin"]
    asked = await rig.client.options("/socket.io/", headers=PAGE | PREFLIGHT)
    assert asked.status == 204
    assert "Authorization" in asked.headers["Access-Control-Allow-Headers"]


async def test_an_upgraded_socket_has_a_request_id_and_works(rig: Rig) -> None:
    async with rig.client.ws_connect("/socket.io/", headers={"X-Request-Id": "mine"}) as socket:
        assert socket._response.headers["X-Request-Id"] == "mine"
        assert await socket.receive_str() == "hello"


@pytest.mark.parametrize("path", ["/", "/nothing", "/crash", "/auth/me", "/socket.io/"])
async def test_no_browser_runs_frames_or_keeps_track_of_an_answer(rig: Rig, path: str) -> None:
    headers = (await rig.client.get(path)).headers
    assert headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Server"] == "talksy"


@pytest.mark.parametrize(
    ("told", "trusted", "tls", "strict"),
    [
        (None, True, False, False),
        ("http", True, False, False),
        ("https", True, False, True),
        ("https, http", True, False, False),
        ("http, https", True, False, True),
        ("https", False, False, False),
        (None, False, True, True),
    ],
)
async def test_who_came_by_https_is_told_to_stay_with_it(
    serving: Serve, told: str | None, trusted: bool, tls: bool, strict: bool
) -> None:
    """To us, or to a proxy that is believed; the nearest one's word counts."""
    proxies = (ip_network("127.0.0.0/8"),) if trusted else ()
    headers = {"X-Forwarded-Proto": told} if told else {}
    async with serving(trusted_proxies=proxies, tls=tls) as rig:
        answer = await rig.client.get("/", headers=headers)
    assert ("Strict-Transport-Security" in answer.headers) == strict

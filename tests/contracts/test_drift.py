"""What the contracts do not have is noticed, whichever test it happens in."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests import contract

CHUNK = {"content": "Hi", "index": 0, "turnId": "trn_1", "seq": 1}
SOUND = {"turnId": "trn_1", "audioSeq": 1, "sampleRate": 24_000, "audio": b"\0\0"}
ERROR = {"code": "TURN_NOT_FOUND", "message": "There is no such turn."}


def noticed() -> list[str]:
    """What was noticed so far, which then is forgotten: it was meant to happen."""
    told = list(contract.violations)
    contract.violations.clear()
    return told


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("stream_chunk", {**CHUNK, "colour": "red"}, "colour"),
        ("stream_chunk", {key: CHUNK[key] for key in ("content", "index", "seq")}, "turnId"),
        ("stream_chunk", {**CHUNK, "seq": "1"}, "seq"),
        ("stream_chunk", {**CHUNK, "seq": -1}, "seq"),
        ("stream_piece", CHUNK, "no event of the contract"),
        ("user_message", {"text": "hi"}, "no event of the contract"),
        ("error", {**ERROR, "code": "OOPS"}, "code"),
        ("message_added", [], "message_added"),
        ("audio_chunk", {**SOUND, "audio": "AAA="}, "audio"),
        ("audio_chunk", {**SOUND, "text": b"Hi."}, "text"),
    ],
)
def test_an_event_that_differs_is_noticed(name: str, data: Any, says: str) -> None:
    contract.check_event(name, data)
    (told,) = noticed()
    assert says in told


@pytest.mark.parametrize(
    ("event", "data", "says"),
    [
        ("cancel", {"ok": True, "turnId": "trn_1"}, "status"),
        ("cancel", {"ok": True, "turnId": "trn_1", "status": "asleep"}, "status"),
        ("cancel", {"ok": True, "turnId": "trn_1", "status": "failed", "why": ""}, "why"),
        ("get_history", {"ok": False, "error": ERROR}, "code"),
        ("cancel", {"ok": False, "error": {**ERROR, "hint": "x"}}, "hint"),
        ("no_such_event", {"ok": True}, "error"),
        (None, {"fine": True}, "ack"),
    ],
)
def test_an_ack_that_differs_is_noticed(event: str | None, data: Any, says: str) -> None:
    contract.check_ack(event, data)
    (told,) = noticed()
    assert says in told


def test_what_the_contract_has_is_let_through() -> None:
    contract.check_event("stream_chunk", CHUNK)
    contract.check_event("audio_chunk", SOUND)
    contract.check_ack("cancel", {"ok": False, "error": ERROR})
    contract.check_ack("no_such_event", {"ok": False, "error": {**ERROR, "code": "UNKNOWN_EVENT"}})
    assert noticed() == []


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def answering(method: str, path: str, **answer: Any) -> AsyncIterator[str]:
    """A server that gives one answer, as ours would look if it drifted."""
    headers = {"X-Request-Id": "req_1", **answer.pop("headers", {})}

    async def give(_: web.Request) -> web.Response:
        return web.json_response(**answer, headers=headers)

    app = web.Application()
    app.router.add_route(method, path, give)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}{path}"
    finally:
        await runner.cleanup()


PROBLEM = {
    "type": "urn:talksy:error:not-found",
    "title": "There is nothing here",
    "status": 404,
    "code": "NOT_FOUND",
    "message": "There is nothing at /x.",
    "detail": "There is nothing at /x.",
    "requestId": "req_1",
}
LIVE = ("GET", "/health/live")


@pytest.mark.parametrize(
    ("route", "answer", "says"),
    [
        (LIVE, {"data": {"status": "ok", "mood": "good"}}, "mood"),
        (LIVE, {"data": {}}, "status"),
        (LIVE, {"data": {"status": "ok"}, "status": 202}, "not documented"),
        (LIVE, {"data": {"status": "ok"}, "content_type": "text/json"}, "text/json"),
        (LIVE, {"data": PROBLEM, "status": 503}, "Retry-After"),
        (("PUT", "/health/live"), {"data": {}}, "this method is not documented"),
        (
            ("GET", "/x"),
            {"data": {**PROBLEM, "code": "GONE"}, "status": 404},
            "is application/json",
        ),
    ],
)
async def test_an_answer_that_differs_is_noticed(
    route: tuple[str, str], answer: dict[str, Any], says: str
) -> None:
    async with (
        answering(*route, **answer) as url,
        aiohttp.ClientSession() as http,
        http.request(route[0], url) as got,
    ):
        await got.read()
    assert any(says in told for told in noticed())


async def test_an_answer_that_the_contract_has_is_let_through() -> None:
    async with (
        answering(*LIVE, data={"status": "ok"}) as url,
        aiohttp.ClientSession() as http,
        http.get(url) as got,
    ):
        assert await got.json() == {"status": "ok"}
    assert noticed() == []

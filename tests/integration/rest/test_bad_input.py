"""Whatever comes in wrong gets a problem document that says what to change."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Mapping, MutableMapping
from typing import Any

import pytest
import structlog
from aiohttp import ClientResponse
from multidict import CIMultiDict
from structlog.testing import capture_logs

from tests.integration.rest.conftest import ADA, Rig, Serve

JSON = {"Content-Type": "application/json"}


async def send(
    rig: Rig, data: Any, headers: Mapping[str, str] = JSON, path: str = "/auth/login"
) -> tuple[ClientResponse, dict[str, Any]]:
    answer = await rig.client.post(path, data=data, headers=headers)
    body = await answer.json()
    assert answer.content_type == "application/problem+json"
    assert body["requestId"] == answer.headers["X-Request-Id"]
    assert body["message"] == body["detail"]
    assert body["status"] == answer.status
    return answer, body


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not JSON"),
        (b"{", "line 1, column 2"),
        (b'{"email": "a",}', "not JSON"),
        (b"[]", "must be an object"),
        (b'"x"', "must be an object"),
        (b"null", "must be an object"),
        (b"[" * 50, "not JSON"),
        (b'{"email": NaN, "password": "x"}', "it has no NaN"),
        (b'{"email": -Infinity, "password": "x"}', "it has no -Infinity"),
        (b'{"email": "a", "email": "b", "password": "x"}', "email is given twice"),
        (b'{"email": "\xff"}', "not UTF-8"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b'{"email": "a", "password": ' + b"9" * 900 + b"}", "password must be a string"),
        (b'{"email": 7, "password": null}', "email must be a string; password must be a string"),
        (b'{"password": "x"}', "email is required"),
        (b'{"email": "a", "password": "x", "admin": true}', "admin is not a known field"),
    ],
    ids=lambda value: ascii(value)[:40],
)
async def test_a_bad_body_is_refused_by_name(rig: Rig, data: bytes, says: str) -> None:
    answer, body = await send(rig, data)
    assert (answer.status, body["code"]) == (400, "VALIDATION_ERROR")
    assert says in body["message"]


async def test_a_deeply_nested_body_is_refused(serving: Serve) -> None:
    async with serving(max_body=1_000_000) as rig:
        answer, body = await send(rig, b"[" * 900_000)
    assert answer.status == 400
    assert "nested too deeply" in body["message"]


async def test_of_many_faults_twenty_are_told(rig: Rig) -> None:
    answer, body = await send(rig, json.dumps({f"f{number}": 0 for number in range(60)}))
    assert answer.status == 400
    assert len(body["errors"]) == 20


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1"]
)
async def test_another_content_type_is_refused_by_name(rig: Rig, kind: str) -> None:
    answer, body = await send(rig, json.dumps(ADA), {"Content-Type": kind})
    assert answer.status == 400
    assert kind in body["message"]


async def test_utf8_may_be_named(rig: Rig) -> None:
    await rig.register()
    headers = {"Content-Type": 'application/json; charset="UTF-8"'}
    answer = await rig.client.post("/auth/login", data=json.dumps(ADA), headers=headers)
    assert answer.status == 200


async def test_a_body_over_the_limit_is_too_large_announced_or_not(rig: Rig) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * 100

    for data in (b" " * 1_001, pieces(), gzip.compress(b" " * 100_000)):
        zipped = isinstance(data, bytes) and data[:2] == b"\x1f\x8b"
        headers = JSON | ({"Content-Encoding": "gzip"} if zipped else {})
        answer, body = await send(rig, data, headers)
        assert (answer.status, body["code"]) == (413, "PAYLOAD_TOO_LARGE")
        assert "1000 bytes" in body["message"]


async def test_a_body_that_is_not_what_its_encoding_says_is_refused(rig: Rig) -> None:
    answer, body = await send(rig, b"no gzip at all", JSON | {"Content-Encoding": "gzip"})
    assert (answer.status, body["code"]) == (400, "VALIDATION_ERROR")


async def test_an_unknown_path_is_not_found(rig: Rig) -> None:
    answer, body = await send(rig, b"", path="/auth/nothing")
    assert (answer.status, body["code"]) == (404, "NOT_FOUND")
    assert body["type"] == "urn:talksy:error:not-found"
    assert body["title"] == "There is nothing here"
    assert "/auth/nothing" in body["message"]


async def test_a_wrong_method_is_told_the_right_ones(rig: Rig) -> None:
    answer = await rig.client.get("/auth/login")
    body = await answer.json()
    assert (answer.status, body["code"]) == (405, "METHOD_NOT_ALLOWED")
    assert answer.headers["Allow"] == "POST"
    assert "POST" in body["message"]


@pytest.mark.parametrize(
    ("path", "status", "code", "message"),
    [
        ("/unsupported", 400, "VALIDATION_ERROR", "Unsupported Media Type"),
        ("/large", 413, "PAYLOAD_TOO_LARGE", "This is longer than is allowed."),
    ],
)
async def test_other_refusals_of_the_library_are_problems_too(
    rig: Rig, path: str, status: int, code: str, message: str
) -> None:
    answer = await rig.client.get(path)
    body = await answer.json()
    assert (answer.status, body["code"], body["message"]) == (status, code, message)


async def test_a_redirect_is_no_problem(rig: Rig) -> None:
    answer = await rig.client.get("/elsewhere", allow_redirects=False)
    assert (answer.status, answer.headers["Location"]) == (302, "/health")


async def test_a_fault_of_ours_is_told_by_its_number_and_logged_with_the_rest(rig: Rig) -> None:
    with capture_logs([structlog.contextvars.merge_contextvars]) as lines:
        answer = await rig.client.get("/crash", headers={"X-Request-Id": "req-7"})
        text = await answer.text()
    assert answer.status == 500
    assert json.loads(text)["code"] == "INTERNAL_ERROR"
    assert json.loads(text)["requestId"] == "req-7"
    assert "secret" not in text
    line = next(line for line in lines if line["event"] == "request_failed")
    assert (line["request_id"], line["exc_info"]) == ("req-7", True)


async def test_a_connection_that_dies_in_its_body_is_no_fault_of_ours(rig: Rig) -> None:
    logged = asyncio.Event()

    def note(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        logged.set()
        return line

    with capture_logs([note]) as lines:
        reader, writer = await asyncio.open_connection(rig.client.host, rig.client.port)
        writer.write(
            b"POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Expect: 100-continue\r\nContent-Length: 100\r\n\r\n"
        )
        assert b"100 Continue" in await reader.readline()
        writer.close()
        await logged.wait()
    assert [(line["event"], line["status"]) for line in lines] == [("request", 400)]


async def test_the_log_has_a_line_a_request_without_query_body_or_token(rig: Rig) -> None:
    with capture_logs([structlog.contextvars.merge_contextvars]) as lines:
        body = await rig.register()
        await rig.client.get(
            "/auth/me?token=hidden", headers={"Authorization": f"Bearer {body['accessToken']}"}
        )
    assert [(line["method"], line["path"], line["status"]) for line in lines] == [
        ("POST", "/auth/register", 201),
        ("GET", "/auth/me", 200),
    ]
    assert all(line["request_id"].startswith("req_") and line["ms"] >= 0 for line in lines)
    for secret in (ADA["password"], body["accessToken"], body["refreshToken"], "hidden"):
        assert secret not in str(lines)


async def test_registering_is_limited_by_address(serving: Serve) -> None:
    async with serving(register_per_minute=2) as rig:
        answers = [await rig.post("/auth/register", {}) for _ in range(3)]
        assert [answer.status for answer in answers] == [400, 400, 429]
        body = await answers[2].json()
        assert (body["code"], body["retryAfter"]) == ("RATE_LIMITED", 60)
        assert answers[2].headers["Retry-After"] == "60"
        other = {"X-Forwarded-For": "203.0.113.9"}
        assert (await rig.post("/auth/register", {}, headers=other)).status == 400
        rig.clock.now += 60_000
        assert (await rig.post("/auth/register", {})).status == 400


async def test_logging_in_has_a_limit_of_its_own(serving: Serve) -> None:
    async with serving(login_per_minute=1) as rig:
        await rig.register()
        answers = [await rig.post("/auth/login", ADA) for _ in range(2)]
        assert [answer.status for answer in answers] == [200, 429]


async def test_failed_logins_are_limited_for_the_account_and_the_address(serving: Serve) -> None:
    """Neither the same address in another account nor the account elsewhere feels it."""
    async with serving(login_failures=2) as rig:
        await rig.register()
        wrong = {**ADA, "password": "Wrong123"}
        assert [(await rig.post("/auth/login", wrong)).status for _ in range(3)] == [401, 401, 429]
        assert (await rig.post("/auth/login", ADA)).status == 429
        assert (await rig.post("/auth/login", {**wrong, "email": "bo@example.com"})).status == 401
        elsewhere = {"X-Forwarded-For": "203.0.113.9"}
        assert (await rig.post("/auth/login", ADA, headers=elsewhere)).status == 200
        rig.clock.now += 15 * 60_000
        assert (await rig.post("/auth/login", ADA)).status == 200


async def test_logins_that_succeed_are_no_failures(serving: Serve) -> None:
    async with serving(login_failures=1) as rig:
        await rig.register()
        assert [(await rig.post("/auth/login", ADA)).status for _ in range(3)] == [200, 200, 200]


async def test_the_header_of_a_stranger_does_not_move_him(serving: Serve) -> None:
    async with serving(login_per_minute=1, trusted_proxies=()) as rig:
        for number, status in ((1, 401), (2, 429)):
            forged = {"X-Forwarded-For": f"203.0.113.{number}"}
            assert (await rig.post("/auth/login", ADA, headers=forged)).status == status


async def test_several_headers_of_forwarding_are_read_as_one(serving: Serve) -> None:
    async with serving(login_per_minute=1) as rig:
        headers = CIMultiDict(
            [("X-Forwarded-For", "198.51.100.1"), ("X-Forwarded-For", "203.0.113.1")]
        )
        assert (await rig.post("/auth/login", ADA, headers=headers)).status == 401
        alone = {"X-Forwarded-For": "203.0.113.1"}
        assert (await rig.post("/auth/login", ADA, headers=alone)).status == 429

"""The REST table."""

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import aiohttp
import jwt
import pytest
import pytest_asyncio

from tests.e2e.accounts import PASSWORD, Account
from tests.e2e.conftest import Door
from tests.server import Server, running_server

JSON = dict[str, Any]


async def post(
    http: aiohttp.ClientSession, path: str, **options: Any
) -> tuple[aiohttp.ClientResponse, JSON]:
    async with http.post(path, **options) as answer:
        return answer, await answer.json(content_type=None) if await answer.read() else {}


async def get(
    http: aiohttp.ClientSession, path: str, token: str | None = None
) -> tuple[aiohttp.ClientResponse, JSON]:
    headers = {"Authorization": f"Bearer {token}"} if token else None
    async with http.get(path, headers=headers) as answer:
        return answer, await answer.json(content_type=None)


def check_problem(answer: aiohttp.ClientResponse, body: JSON, status: int, code: str) -> None:
    """An error is a problem document in every part of it."""
    assert (answer.status, body["code"]) == (status, code)
    assert answer.content_type == "application/problem+json"
    assert body["status"] == status
    assert body["type"]
    assert body["title"]
    assert body["message"] == body["detail"] != ""
    assert body["requestId"] == answer.headers["X-Request-Id"]


def credentials(email: str, password: str = PASSWORD) -> JSON:
    return {"email": email, "password": password}


async def refresh(http: aiohttp.ClientSession, token: str) -> tuple[int, JSON]:
    answer, body = await post(http, "/auth/refresh", json={"refreshToken": token})
    return answer.status, body


# ---------------------------------------------------------------------------- accounts


async def test_register_gives_tokens_and_the_user(http: aiohttp.ClientSession) -> None:
    answer, body = await post(http, "/auth/register", json=credentials("ann@example.com"))

    assert answer.status == 201
    assert body.keys() == {"accessToken", "refreshToken", "tokenType", "expiresIn", "user"}
    assert (body["tokenType"], body["expiresIn"]) == ("Bearer", 900)
    assert body["user"].keys() == {"id", "email", "createdAt"}
    assert body["user"]["email"] == "ann@example.com"
    assert body["user"]["id"].startswith("usr_")
    assert datetime.fromisoformat(body["user"]["createdAt"]).utcoffset() is not None
    assert answer.headers["X-Request-Id"]


async def test_an_access_token_has_the_claims(account: Account) -> None:
    claims = jwt.decode(account.token, options={"verify_signature": False})

    names = {"sub", "sid", "typ", "ver", "iat", "exp", "iss", "aud", "jti", "scope"}
    assert claims.keys() >= names
    assert claims["sub"] == account.id
    assert claims["exp"] - claims["iat"] == 900
    assert PASSWORD not in str(claims)


async def test_an_email_is_taken_whatever_its_case(
    http: aiohttp.ClientSession, account: Account
) -> None:
    answer, body = await post(http, "/auth/register", json=credentials(account.email.upper()))

    check_problem(answer, body, 409, "EMAIL_TAKEN")


async def test_of_parallel_registrations_one_wins(http: aiohttp.ClientSession) -> None:
    results = await asyncio.gather(
        *(
            post(http, "/auth/register", json=credentials(email))
            for email in ("race@example.com", "RACE@example.com", "Race@Example.com") * 2
        )
    )

    assert sorted(answer.status for answer, _ in results) == [201] + [409] * 5


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("Short-1", "too short"),
        ("nouppercase7", "no upper case"),
        ("NOLOWERCASE7", "no lower case"),
        ("NoDigitsAtAll", "no digit"),
        ("Aa1" + "x" * 70, "73 bytes"),
        ("Aa1" + "ü" * 35, "73 bytes of 38 characters"),
    ],
)
async def test_a_weak_password_is_refused(
    http: aiohttp.ClientSession, password: str, why: str
) -> None:
    answer, body = await post(
        http, "/auth/register", json=credentials("weak@example.com", password)
    )

    check_problem(answer, body, 400, "VALIDATION_ERROR")
    assert [fault["path"] for fault in body["errors"]] == ["password"], why
    assert password not in str(body)


async def test_the_longest_password_works(http: aiohttp.ClientSession) -> None:
    longest = "Aa1" + "x" * 69
    answer, body = await post(http, "/auth/register", json=credentials("long@example.com", longest))
    right, _ = await post(http, "/auth/login", json=credentials("long@example.com", longest))
    wrong, _ = await post(
        http, "/auth/login", json=credentials("long@example.com", longest[:-1] + "y")
    )

    assert (answer.status, right.status, wrong.status) == (201, 200, 401), body


@pytest.mark.parametrize(
    ("body", "paths"),
    [
        ({}, {"email", "password"}),
        ({"email": "no-at", "password": "x"}, {"email", "password"}),
        ({"email": 7, "password": PASSWORD}, {"email"}),
        ({"email": "a@example.com", "password": None}, {"password"}),
        ({"email": "a@example.com", "password": PASSWORD, "name": "Ann"}, {"name"}),
    ],
)
async def test_every_fault_of_a_registration_is_named(
    http: aiohttp.ClientSession, body: JSON, paths: set[str]
) -> None:
    answer, problem = await post(http, "/auth/register", json=body)

    check_problem(answer, problem, 400, "VALIDATION_ERROR")
    assert {fault["path"] for fault in problem["errors"]} == paths


async def test_login_gives_what_register_gave(
    http: aiohttp.ClientSession, account: Account
) -> None:
    answer, body = await post(http, "/auth/login", json=credentials(account.email.upper()))

    assert answer.status == 200
    assert body.keys() == {"accessToken", "refreshToken", "tokenType", "expiresIn", "user"}
    assert body["user"]["id"] == account.id
    assert body["refreshToken"] != account.refresh_token


async def test_login_does_not_tell_who_is_known(
    http: aiohttp.ClientSession, account: Account
) -> None:
    wrong, wrong_body = await post(
        http, "/auth/login", json=credentials(account.email, "Wrong-Horse-7")
    )
    unknown, unknown_body = await post(http, "/auth/login", json=credentials("nobody@example.com"))

    check_problem(wrong, wrong_body, 401, "INVALID_CREDENTIALS")
    check_problem(unknown, unknown_body, 401, "INVALID_CREDENTIALS")
    assert wrong_body["message"] == unknown_body["message"]


async def test_me_is_the_user_of_the_token(http: aiohttp.ClientSession, account: Account) -> None:
    answer, body = await get(http, "/auth/me", account.token)

    assert answer.status == 200
    assert body.keys() == {"id", "email", "createdAt"}
    assert (body["id"], body["email"]) == (account.id, account.email)


@pytest.mark.parametrize("kind", ["none", "nonsense", "refresh"])
async def test_me_wants_an_access_token(
    http: aiohttp.ClientSession, account: Account, kind: str
) -> None:
    token = {"none": None, "nonsense": "a.b.c", "refresh": account.refresh_token}[kind]

    answer, body = await get(http, "/auth/me", token)

    check_problem(answer, body, 401, "UNAUTHENTICATED")


# ---------------------------------------------------------------------------- token families


async def test_refresh_rotates_the_tokens(http: aiohttp.ClientSession, account: Account) -> None:
    status, body = await refresh(http, account.refresh_token)

    assert status == 200
    assert body.keys() == {"accessToken", "refreshToken", "tokenType", "expiresIn"}
    assert body["refreshToken"] != account.refresh_token
    assert (await get(http, "/auth/me", body["accessToken"]))[1]["id"] == account.id


async def test_within_the_grace_a_token_has_one_successor(
    http: aiohttp.ClientSession, account: Account
) -> None:
    answers = await asyncio.gather(*(refresh(http, account.refresh_token) for _ in range(5)))
    later = await refresh(http, account.refresh_token)

    assert {status for status, _ in (*answers, later)} == {200}
    assert len({body["refreshToken"] for _, body in (*answers, later)}) == 1


@pytest.mark.parametrize("token", ["unknown", "", "x" * 5_000])
async def test_an_unknown_refresh_token_is_refused(http: aiohttp.ClientSession, token: str) -> None:
    status, body = await refresh(http, token)

    assert status in (400, 401)
    assert body["code"] in ("UNAUTHENTICATED", "VALIDATION_ERROR")


async def test_an_access_token_does_not_refresh(
    http: aiohttp.ClientSession, account: Account
) -> None:
    assert (await refresh(http, account.token))[0] == 401


async def test_logout_revokes_the_family_at_once(
    http: aiohttp.ClientSession, account: Account
) -> None:
    other = await account.login()
    assert (await get(http, "/auth/me", account.token))[0].status == 200

    answer, body = await post(http, "/auth/logout", json={"refreshToken": account.refresh_token})

    assert (answer.status, body) == (204, {})
    check_problem(*await get(http, "/auth/me", account.token), 401, "UNAUTHENTICATED")
    assert (await refresh(http, account.refresh_token))[0] == 401
    assert (await get(http, "/auth/me", other.token))[0].status == 200
    assert (await refresh(http, other.refresh_token))[0] == 200


async def test_logout_with_an_unknown_token_is_fine_too(http: aiohttp.ClientSession) -> None:
    answer, _ = await post(http, "/auth/logout", json={"refreshToken": "unknown"})

    assert answer.status == 204


async def test_logout_without_a_token_is_named(http: aiohttp.ClientSession) -> None:
    answer, body = await post(http, "/auth/logout", json={})

    check_problem(answer, body, 400, "VALIDATION_ERROR")
    assert [fault["path"] for fault in body["errors"]] == ["refreshToken"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def wary() -> AsyncIterator[Server]:
    """Strict about refresh tokens and failed logins, and with small windows."""
    async with running_server(
        JWT_REFRESH_GRACE_MS=0,
        AUTH_LOGIN_FAILURES=2,
        AUTH_REGISTER_PER_MINUTE=4,
        AUTH_LOGIN_PER_MINUTE=20,
        MAX_BODY_BYTES=1_000,
    ) as server:
        yield server


async def test_without_a_grace_a_second_use_is_refused_and_only_that_family_suffers(
    wary: Server,
) -> None:
    account = await Account.register(wary.url)
    other = await account.login()
    async with aiohttp.ClientSession(wary.url) as http:
        first = await refresh(http, account.refresh_token)
        second = await refresh(http, account.refresh_token)

        assert (first[0], second[0]) == (200, 401)
        assert (await refresh(http, other.refresh_token))[0] == 200


async def test_too_many_failed_logins_have_to_wait(wary: Server) -> None:
    account = await Account.register(wary.url)
    async with aiohttp.ClientSession(wary.url) as http:
        for _ in range(2):
            wrong = credentials(account.email, "Wrong-Horse-7")
            answer, _ = await post(http, "/auth/login", json=wrong)
            assert answer.status == 401

        answer, body = await post(http, "/auth/login", json=credentials(account.email))

    check_problem(answer, body, 429, "RATE_LIMITED")
    assert 0 < int(answer.headers["Retry-After"]) <= 900
    assert body["retryAfter"] == int(answer.headers["Retry-After"])


async def test_registrations_of_an_address_are_limited(wary: Server) -> None:
    async with aiohttp.ClientSession(wary.url) as http:
        results = [
            await post(http, "/auth/register", json=credentials(f"many-{n}@example.com"))
            for n in range(5)
        ]

    answer, body = results[-1]
    check_problem(answer, body, 429, "RATE_LIMITED")
    assert int(answer.headers["Retry-After"]) > 0


async def test_logins_of_an_address_are_limited(wary: Server) -> None:
    async with aiohttp.ClientSession(wary.url) as http:
        for n in range(21):
            answer, body = await post(http, "/auth/login", json=credentials(f"n{n}@example.com"))
            if answer.status == 429:
                break

    check_problem(answer, body, 429, "RATE_LIMITED")


async def test_a_body_over_the_limit_is_a_413(wary: Server) -> None:
    async with aiohttp.ClientSession(wary.url) as http:
        answer, body = await post(http, "/auth/refresh", json={"refreshToken": "x" * 2_000})

    check_problem(answer, body, 413, "PAYLOAD_TOO_LARGE")


# ---------------------------------------------------------------------------- the server itself


async def test_the_root_says_who_is_there(http: aiohttp.ClientSession) -> None:
    answer, body = await get(http, "/")

    assert answer.status == 200
    assert {"name", "version", "status"} <= body.keys()
    assert re.fullmatch(r"\d+\.\d+.*", body["version"])


async def test_health_counts_connections(
    http: aiohttp.ClientSession, account: Account, door: Door
) -> None:
    await door.open(account)

    answer, body = await get(http, "/health")

    assert answer.status == 200
    assert body.keys() == {"status", "version", "uptime", "connections"}
    assert body["status"] == "ok"
    assert body["uptime"] >= 0
    assert body["connections"] >= 1


async def test_health_in_detail_has_every_component(http: aiohttp.ClientSession) -> None:
    answer, body = await get(http, "/health/detailed")

    assert answer.status == 200
    assert {"status", "version", "uptime", "components"} <= body.keys()
    names = {"memory", "database", "storage", "sessions", "providers"}
    assert body["components"].keys() == names
    assert str(body["components"]["database"]).count("latency") == 1


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
async def test_probes_answer(http: aiohttp.ClientSession, path: str) -> None:
    answer, _ = await get(http, path)

    assert answer.status == 200
    assert answer.headers["X-Request-Id"]


@pytest.mark.parametrize(
    "data", [b"{", b"", b"[1]", b"null", b'"x"', b"\xff", b"NaN", b"[" * 9_000]
)
async def test_a_body_that_is_no_json_object_is_a_400(
    http: aiohttp.ClientSession, data: bytes
) -> None:
    headers = {"Content-Type": "application/json"}

    answer, body = await post(http, "/auth/login", data=data, headers=headers)

    check_problem(answer, body, 400, "VALIDATION_ERROR")


async def test_an_unknown_path_is_a_404(http: aiohttp.ClientSession) -> None:
    check_problem(*await get(http, "/auth/nowhere"), 404, "NOT_FOUND")


@pytest.mark.parametrize("path", ["/auth/login", "/auth/register", "/auth/refresh", "/auth/logout"])
async def test_a_wrong_method_is_a_405(http: aiohttp.ClientSession, path: str) -> None:
    answer, body = await get(http, path)

    check_problem(answer, body, 405, "METHOD_NOT_ALLOWED")
    assert answer.headers["Allow"] == "POST"


async def test_every_answer_has_an_id_of_its_own(http: aiohttp.ClientSession) -> None:
    ids = {(await get(http, "/health"))[0].headers["X-Request-Id"] for _ in range(3)}

    assert len(ids) == 3


async def test_in_development_any_page_may_read_without_credentials(
    http: aiohttp.ClientSession,
) -> None:
    async with http.get("/health", headers={"Origin": "https://page.example.com"}) as answer:
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "Access-Control-Allow-Credentials" not in answer.headers


async def test_a_preflight_is_answered(http: aiohttp.ClientSession) -> None:
    headers = {
        "Origin": "https://page.example.com",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type,authorization",
    }
    async with http.options("/auth/login", headers=headers) as answer:
        assert answer.status in (200, 204)
        assert "POST" in answer.headers["Access-Control-Allow-Methods"]
        assert "authorization" in answer.headers["Access-Control-Allow-Headers"].lower()

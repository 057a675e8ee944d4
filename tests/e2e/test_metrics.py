"""``/metrics``: what happened is what it says, to those who may read it, under a bounded number of
names.
"""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.accounts import PASSWORD, Account
from tests.e2e.client import Client, Refused
from tests.server import Server, running_server
from tests.vendors.openai_server import OpenAIServer, answer, refusal

TOKEN = "only-for-tests-metrics"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


class Scrape:
    """One look at the numbers."""

    def __init__(self, text: str) -> None:
        families = list(text_string_to_metric_families(text))
        assert all(family.documentation for family in families)
        self.samples = {
            (sample.name.removeprefix("talksy_"), frozenset(sample.labels.items())): sample.value
            for family in families
            for sample in family.samples
        }

    def __call__(self, name: str, **labels: str) -> float:
        """The value of a series; 0 where there is none."""
        return self.samples.get((name, frozenset(labels.items())), 0.0)


async def scrape(server: Server) -> Scrape:
    async with (
        aiohttp.ClientSession(server.url) as http,
        http.get("/metrics", headers=BEARER) as answer,
    ):
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        return Scrape(await answer.text())


@pytest.fixture
async def vendor() -> AsyncIterator[OpenAIServer]:
    async with OpenAIServer() as vendor:
        yield vendor


@pytest.fixture
async def server(vendor: OpenAIServer) -> AsyncIterator[Server]:
    async with running_server(
        AI_PROVIDER="openai,mock",
        OPENAI_BASE_URL=vendor.url,
        OPENAI_MODEL="replayed",
        AI_MODELS="openai:other",
        METRICS_TOKEN=TOKEN,
        MAX_GUESTS_PER_ADDRESS=1_000,
        AUTH_GUESTS_PER_MINUTE=1_000,
        RATE_LIMIT_READS_PER_MINUTE=100_000,
    ) as server:
        yield server


async def test_turns_are_counted_by_their_endings(server: Server) -> None:
    account = await Account.register(server.url)
    client = await Client.connect(server.url, auth={"token": account.token})
    whole = await client.ending((await client.say("/mock tokens=300"))["turnId"])
    plain = await client.ending((await client.say("/mock tokens=5", stream=False))["turnId"])
    failed = await client.ending((await client.say("/habit cut", stream=False))["turnId"])
    hanging = (await client.say("/habit hang"))["turnId"]
    await client.until(hanging, 1)
    waiting = await client.say("wait")

    during = await scrape(server)
    await client.call("cancel", {"turnId": hanging})
    await client.ending(waiting["turnId"])
    after = await scrape(server)
    await client.close()

    assert (during("turns_running"), during("turns_waiting")) == (1, 1)
    assert (after("turns_running"), after("turns_waiting")) == (0, 0)
    assert (during("connections"), during("sockets", transport="websocket")) == (1, 1)
    assert (during("guests"), during("sessions")) == (0, 1)
    assert [plain["reason"], failed["degraded"]] == ["completed", True]
    assert after("turns_total", reason="completed", streamed="true") == 2
    assert after("turns_total", reason="completed", streamed="false") == 2
    assert after("turns_total", reason="cancelled", streamed="true") == 1
    assert after("turn_seconds_count", reason="completed") == 4
    assert after("turn_first_chunk_seconds_count") == 3
    assert during("chunks_total") >= whole["chunks"]
    assert after("turn_gap_seconds_count") + 3 == after("chunks_total")
    assert after("turn_resets_total") == after("turns_degraded_total") == 1
    tokens = {"provider": "openai", "model": "replayed", "direction": "output"}
    assert after("tokens_total", **tokens) == 300 + 5 + 5


async def test_calls_of_providers_are_counted_with_what_became_of_them(
    server: Server, vendor: OpenAIServer
) -> None:
    openai = {"provider": "openai", "model": "other"}
    account = await Account.register(server.url)
    client = await Client.connect(server.url, auth={"token": account.token})
    vendor.script(refusal(500), answer("second"), refusal(401, "invalid_api_key"))
    for _ in range(2):
        await client.ending((await client.say("Hello", model="openai:other"))["turnId"])
    seen = await scrape(server)
    await client.close()

    assert seen("provider_calls_total", **openai, outcome="unavailable") == 1
    assert seen("provider_calls_total", **openai, outcome="ok") == 1
    assert seen("provider_calls_total", **openai, outcome="auth") == 1
    assert seen("provider_call_seconds_count", **openai) == 3
    assert seen("provider_first_token_seconds_count", **openai) == 1
    assert seen("provider_retries_total", **openai) == 1
    assert seen("provider_fallbacks_total", **openai, reset="false") == 1
    assert seen("provider_breaker_state", **openai, state="open") == 1
    assert seen("provider_breaker_state", **openai, state="closed") == 0
    assert seen("log_lines_total", level="warning", event="model_failed") == 2


async def test_logins_and_limits_and_requests_are_counted(server: Server) -> None:
    account = await Account.register(server.url)
    async with aiohttp.ClientSession(server.url) as http:
        wrong = {"email": account.email, "password": PASSWORD + "x"}
        await http.post("/auth/login", json=wrong)
        await http.post("/auth/register", json={"email": "nobody", "password": "x"})
        for _ in range(2):
            await http.post("/auth/refresh", json={"refreshToken": account.refresh_token})
    guest = await Client.connect(server.url, transport="polling")
    await guest.session()
    with pytest.raises(Refused):
        await Client.connect(server.url, auth={"token": "nonsense"})
    seen = await scrape(server)
    await guest.close()

    assert seen("auth_attempts_total", action="register", result="ok") == 1
    assert seen("auth_attempts_total", action="register", result="VALIDATION_ERROR") == 1
    assert seen("auth_attempts_total", action="login", result="INVALID_CREDENTIALS") == 1
    assert seen("auth_attempts_total", action="refresh", result="ok") == 2
    assert seen("auth_attempts_total", action="guest", result="ok") == 1
    assert seen("auth_attempts_total", action="connect", result="ok") == 1
    assert seen("auth_attempts_total", action="connect", result="UNAUTHENTICATED") == 1
    assert seen("limits_total", window="register", result="allowed") == 2
    assert seen("sockets", transport="polling") == seen("guests") == 1
    login = {"route": "/auth/login", "method": "POST"}
    assert seen("http_requests_total", **login, status="4xx") == 1
    assert seen("http_request_seconds_count", route="/auth/refresh") == 2
    assert seen("database_seconds_count", kind="write") > 2
    assert seen("python_gc_collections_total", generation="0") > 0


async def test_a_thousand_bad_inputs_make_no_thousand_series(server: Server) -> None:
    """No path, e-mail, method, model or event of a client's becomes a label."""
    client = await Client.connect(server.url)

    async with aiohttp.ClientSession(server.url) as http:

        async def bad(number: int) -> None:
            sent = {"email": f"{number}@example.com", "password": PASSWORD}
            await http.get(f"/{number}")
            await http.request("PURGE", f"/{number}")
            await http.post("/auth/login", json=sent)
            await client.call(f"event{number}", {"number": number})
            await client.call("user_message", {"text": "x", "model": f"model-{number}"})

        async def bads(numbers: range) -> Scrape:
            for start in range(numbers.start, numbers.stop, 10):
                await asyncio.gather(*map(bad, range(start, start + 10)))
            return await scrape(server)

        await bads(range(10))
        few = await scrape(server)
        many = await bads(range(10, 200))
    await client.close()

    assert many.samples.keys() == few.samples.keys()
    assert len(many.samples) < 700
    assert many("loop_lag_seconds_count") > few("loop_lag_seconds_count")
    assert many("http_requests_total", route="none", method="GET", status="4xx") == 200
    assert many("http_requests_total", route="none", method="other", status="4xx") == 200


async def test_where_there_is_a_token_it_is_asked_for(server: Server) -> None:
    async with aiohttp.ClientSession(server.url) as http:
        for sent, status in ((None, 401), ("wrong", 401), ("wrong-ü", 401), (TOKEN, 200)):
            headers = {"Authorization": f"Bearer {sent}"} if sent else {}
            assert (await http.get("/metrics", headers=headers)).status == status


async def test_without_a_token_this_machine_alone_may_read() -> None:
    """Whoever comes through a proxy on it is not of this machine."""
    async with running_server() as server, aiohttp.ClientSession(server.url) as http:
        assert (await http.get("/metrics")).status == 200
        for sign in ("X-Forwarded-For", "X-Real-IP", "Forwarded", "Via"):
            assert (await http.get("/metrics", headers={sign: "192.0.2.1"})).status == 403

"""What those did who hear and speak is counted, and how they stand is shown."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from talksy.audio import IN_RATE
from tests.clips import clip
from tests.e2e.accounts import Account
from tests.e2e.client import Client
from tests.e2e.test_metrics import TOKEN, scrape
from tests.server import Server, running_server
from tests.vendors.openai_server import OpenAIServer, refusal

OPENAI = {
    "stt": {"provider": "openai", "model": "gpt-transcribe"},
    "tts": {"provider": "openai", "model": "gpt-4o-mini-tts"},
}
MOCK = {"provider": "mock", "model": "mock"}


@pytest.fixture
async def vendor() -> AsyncIterator[OpenAIServer]:
    async with OpenAIServer() as vendor:
        yield vendor


@pytest.fixture
async def server(vendor: OpenAIServer) -> AsyncIterator[Server]:
    async with running_server(
        STT_PROVIDER="openai,mock",
        TTS_PROVIDER="openai,mock",
        OPENAI_BASE_URL=vendor.url,
        METRICS_TOKEN=TOKEN,
    ) as server:
        yield server


async def test_who_hears_and_speaks_is_counted_and_shown_as_models_are(
    server: Server, vendor: OpenAIServer
) -> None:
    before = await scrape(server)
    account = await Account.register(server.url)
    client = await Client.connect(server.url, auth={"token": account.token})
    await client.call("voice_start", {"mode": "turn"})
    vendor.script(refusal(401, "invalid_api_key"), refusal(401, "invalid_api_key"))
    await client.emit("audio", clip("what_time_is_it").pcm + bytes(2 * IN_RATE))
    said = await client.wait("final_transcript")
    await client.wait("audio_chunk", turnId=said["turnId"])
    await client.call("cancel", {"turnId": said["turnId"]})
    await client.close()
    seen = await scrape(server)
    async with aiohttp.ClientSession(server.url) as http, http.get("/health/detailed") as reply:
        shown = (await reply.json())["components"]["providers"]

    for slot, openai in OPENAI.items():
        assert before(f"{slot}_breaker_state", **openai, state="closed") == 1
        assert seen(f"{slot}_breaker_state", **openai, state="open") == 1
        assert seen(f"{slot}_breaker_state", **MOCK, state="closed") == 1
        assert seen(f"{slot}_calls_total", **openai, outcome="auth") == 1
        assert seen(f"{slot}_fallbacks_total", **openai, reset="false") >= 1
        standing = [(each["provider"], each["model"], each["breaker"]) for each in shown[slot]]
        assert standing == [(*openai.values(), "open"), ("mock", "mock", "closed")]
    assert seen("stt_calls_total", **MOCK, outcome="ok") == 1
    assert seen("stt_first_text_seconds_count", **MOCK) == 1
    assert seen("tts_first_sound_seconds_count", **MOCK) >= 1
    assert seen("provider_breaker_state", **MOCK, state="closed") == 1

"""What goes wrong at a vendor: what the client is told, and what the operator."""

import logging
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from structlog.testing import capture_logs

from talksy.ai.llm import Delta, Part
from talksy.ai.llm.openai import OpenAIModel
from talksy.errors import ProviderTimeout, ProviderUnavailable
from tests.integration.llm.conftest import collect, text_of
from tests.vendors.openai_server import GREETING, HABITS, OpenAIServer, answer, chunk, refusal
from tests.vendors.replay import Scenario, frame, page


async def failure(model: OpenAIModel) -> tuple[ProviderUnavailable, list[Any]]:
    """The failure of one answer, and the lines of the log about it."""
    with capture_logs() as lines, pytest.raises(ProviderUnavailable) as raised:
        await collect(model, "a secret wish")
    return raised.value, lines


@pytest.mark.parametrize(
    ("scenario", "status", "code", "hint"),
    [
        (refusal(400, "context_length_exceeded"), 400, "context_length_exceeded", "too long"),
        (refusal(401, "invalid_api_key"), 401, "invalid_api_key", "OPENAI_API_KEY"),
        (refusal(403, "forbidden"), 403, "forbidden", "may not use"),
        (refusal(404, "model_not_found"), 404, "model_not_found", "OPENAI_MODEL"),
        (refusal(429, "insufficient_quota"), 429, "insufficient_quota", "credit"),
        (refusal(429, "Not an identifier: sk-secret"), 429, None, "credit"),
        (page(404), 404, None, "OPENAI_BASE_URL"),
    ],
)
async def test_a_refusal_tells_the_operator_why_and_the_client_no_more_than_it_needs(
    scenario: Scenario,
    status: int,
    code: str | None,
    hint: str,
    server: OpenAIServer,
    openai_model: OpenAIModel,
) -> None:
    server.script(scenario)
    told, [line] = await failure(openai_model)
    assert told.message == ProviderUnavailable().message
    assert (line["status"], line["code"], line["model"]) == (status, code, "small")
    assert hint in line["hint"]
    assert "secret" not in f"{told!r} {line}"
    assert len(server.asked) == 1


async def test_neither_the_key_nor_what_was_said_is_logged_by_the_sdk(
    server: OpenAIServer, openai_model: OpenAIModel, caplog: pytest.LogCaptureFixture
) -> None:
    server.script(answer("a secret answer"), refusal(401))
    with caplog.at_level(logging.DEBUG):
        await collect(openai_model, "a secret wish")
        await failure(openai_model)
    assert caplog.records
    assert "secret" not in caplog.text


@pytest.mark.parametrize(
    ("value", "least", "most"),
    [("20", 20, 20), ("1.5", 1.5, 1.5), ("0", 0, 0)],
)
async def test_a_vendor_says_when_to_come_back(
    value: str, least: float, most: float, server: OpenAIServer, openai_model: OpenAIModel
) -> None:
    server.script(refusal(429, retry_after=value))
    told, _ = await failure(openai_model)
    assert told.retry_after is not None
    assert least <= told.retry_after <= most


async def test_a_vendor_may_say_it_as_a_date(
    server: OpenAIServer, openai_model: OpenAIModel
) -> None:
    later = datetime.now(UTC) + timedelta(seconds=90)
    server.script(refusal(429, retry_after=format_datetime(later, usegmt=True)))
    told, _ = await failure(openai_model)
    assert told.retry_after is not None
    assert 60 < told.retry_after <= 90


async def test_a_nonsensical_time_to_come_back_is_left_out(
    server: OpenAIServer, openai_model: OpenAIModel
) -> None:
    server.script(refusal(429, retry_after="soon"))
    told, _ = await failure(openai_model)
    assert told.retry_after is None


async def test_a_busy_vendor_that_names_a_time_is_not_asked_again(
    server: OpenAIServer, openai_model: OpenAIModel
) -> None:
    server.script(refusal(503, retry_after="9"))
    told, _ = await failure(openai_model)
    assert told.retry_after == 9
    assert len(server.asked) == 1


@pytest.mark.parametrize("habit", ["cut", "early-end", "error-inside"])
async def test_an_answer_that_breaks_off_fails_after_what_came(
    habit: str, server: OpenAIServer, openai_model: OpenAIModel
) -> None:
    server.script(HABITS[habit])
    told: list[Part] = []
    with capture_logs() as lines, pytest.raises(ProviderUnavailable):
        await collect(openai_model, "Hello", told)
    assert told == [Delta("Hello "), Delta("from ")]
    assert "secret" not in f"{lines}"
    assert len(server.asked) == 1


async def test_an_answer_that_ends_without_a_reason_has_ended_early(
    server: OpenAIServer, openai_model: OpenAIModel
) -> None:
    server.script(HABITS["early-end"])
    with pytest.raises(ProviderUnavailable, match="ended early"):
        await collect(openai_model)


@pytest.mark.parametrize(
    "write",
    [
        b"<html><body>Welcome</body></html>",
        b'{"choices": [{"message": {"content": "not a stream"}}]}',
        b"data: not JSON\n\n",
        b"data: \xff\xfe\n\n",
        b"data: []\n\n",
        b"data: null\n\n",
        frame({"error": "in short"}),
        frame({"choices": "many"}),
        frame({"choices": ["one"]}),
        frame({"choices": [], "usage": 3}),
        chunk({"content": 3}, finish="stop"),
        chunk({"tool_calls": "find"}, finish="stop"),
        chunk({"tool_calls": [{"index": 0, "function": {"name": 3}}]}, finish="stop"),
    ],
)
async def test_what_is_not_the_protocol_is_a_failure(
    write: bytes, server: OpenAIServer, openai_model: OpenAIModel
) -> None:
    server.script(Scenario((write,)))
    _, lines = await failure(openai_model)
    assert len(lines) == 1


@pytest.mark.parametrize(
    "scenario",
    [
        pytest.param(Scenario(silent=True, then="hang"), id="before-the-headers"),
        pytest.param(Scenario(then="hang"), id="before-the-first-byte"),
        pytest.param(HABITS["hang"], id="in-the-middle"),
        pytest.param(Scenario((b"{",), 400, then="hang"), id="in-an-error"),
    ],
)
async def test_a_silence_is_a_timeout(
    scenario: Scenario, server: OpenAIServer, openai_model: OpenAIModel
) -> None:
    server.script(scenario)
    with pytest.raises(ProviderTimeout):
        await collect(openai_model)
    await server.disconnected.wait()
    assert len(server.asked) == 1


async def test_an_error_that_breaks_off_is_a_failure(
    server: OpenAIServer, openai_model: OpenAIModel
) -> None:
    server.script(Scenario((b"{",), 400, then="cut"))
    _, [line] = await failure(openai_model)
    assert line["kind"] == "RemoteProtocolError"


async def test_a_model_serves_on_after_a_failure(
    server: OpenAIServer, openai_model: OpenAIModel
) -> None:
    server.script(HABITS["cut"], GREETING)
    await failure(openai_model)
    assert text_of(await collect(openai_model)) == "Hello from the replaying server."


async def test_a_server_that_is_not_there_is_a_failure() -> None:
    async with OpenAIServer() as gone:
        url = gone.url
    model = OpenAIModel(api_key="", model="small", base_url=url)
    with pytest.raises(ProviderUnavailable):
        await model.ping()
    with pytest.raises(ProviderUnavailable):
        await collect(model)
    await model.close()


@pytest.mark.parametrize(
    ("scenario", "kind"),
    [
        (refusal(401, "invalid_api_key"), ProviderUnavailable),
        (page(502), ProviderUnavailable),
        (Scenario((b"<html>",), 200, {"Content-Type": "application/json"}), ProviderUnavailable),
        (HABITS["silence"], ProviderTimeout),
    ],
)
async def test_a_ping_fails_as_a_stream_does(
    scenario: Scenario,
    kind: type[Exception],
    server: OpenAIServer,
    openai_model: OpenAIModel,
) -> None:
    server.script(scenario)
    with pytest.raises(kind):
        await openai_model.ping()
    assert [asked.path for asked in server.asked] == ["/v1/models"]

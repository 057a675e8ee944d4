"""Groq's SDK against Groq's habits: where they differ from OpenAI's, and where they must not."""

import pytest
from structlog.testing import capture_logs

from talksy.ai.llm import Delta, Part, ToolCall, Used, Working
from talksy.ai.llm.groq import GroqModel
from talksy.errors import Cause, ProviderTimeout, ProviderUnavailable
from talksy.messages import Usage
from tests.integration.llm.conftest import collect, text_of, user
from tests.vendors.groq_server import HABITS, GroqServer, answer, opening
from tests.vendors.openai_server import DONE, chunk
from tests.vendors.replay import Scenario


async def test_a_request_has_groqs_path_and_name_of_the_limit(groq_server: GroqServer) -> None:
    model = GroqModel(api_key="gsk-1", model="m", base_url=groq_server.url, max_tokens=5)
    await collect(model, "Hello")
    await model.ping()
    await model.close()
    asked, listed = groq_server.asked
    assert (asked.path, listed.path) == ("/openai/v1/chat/completions", "/openai/v1/models")
    assert asked.headers["Authorization"] == "Bearer gsk-1"
    assert asked.body == {
        "model": "m",
        "stream": True,
        "max_completion_tokens": 5,
        "messages": [{"role": "user", "content": "Hello"}],
    }


async def test_the_cost_stands_in_a_place_of_its_own(
    groq_server: GroqServer, groq_model: GroqModel
) -> None:
    groq_server.script(answer("Hel", "lo"))
    assert await collect(groq_model) == [Delta("Hel"), Delta("lo"), Used(Usage(7, 2))]


async def test_a_thought_is_a_sign_of_life_and_no_text(
    groq_server: GroqServer, groq_model: GroqModel
) -> None:
    groq_server.script(HABITS["thinking"])
    parts = [part async for part in groq_model.stream(user("Hello"))]
    assert parts[0] == Working()
    assert text_of(parts) == "Hello from the replaying server."


async def test_a_tool_call_comes_whole(groq_model: GroqModel) -> None:
    [call, cost] = await collect(groq_model, "/habit tool")
    assert isinstance(call, ToolCall)
    assert (call.name, call.arguments) == ("get_order_status", {"orderId": "ORD-1001"})
    assert isinstance(cost, Used)


async def test_cost_beside_the_last_text_ends_no_answer_early(
    groq_server: GroqServer, groq_model: GroqModel
) -> None:
    last = chunk({"content": "lo"}, finish="stop", x_groq={"usage": {"prompt_tokens": 1}})
    groq_server.script(Scenario((opening(), chunk({"content": "Hel"}), last, DONE)))
    assert text_of(await collect(groq_model)) == "Hello"


@pytest.mark.parametrize("habit", ["cut", "early-end", "error-inside", "stopped"])
async def test_an_answer_that_breaks_off_fails_after_what_came(
    habit: str, groq_model: GroqModel
) -> None:
    told: list[Part] = []
    with capture_logs() as lines, pytest.raises(ProviderUnavailable):
        await collect(groq_model, f"/habit {habit}", told)
    assert text_of(told) == "Hello from "
    assert "secret" not in f"{lines}"


@pytest.mark.parametrize("habit", ["hang", "silence", "no-bytes"])
async def test_a_silence_is_a_timeout(habit: str, groq_model: GroqModel) -> None:
    with pytest.raises(ProviderTimeout):
        await collect(groq_model, f"/habit {habit}")


@pytest.mark.parametrize(
    ("habit", "cause", "hint"),
    [
        ("wrong-key", "auth", "check GROQ_API_KEY"),
        ("forbidden", "invalid", "may not use"),
        ("no-model", "not_found", "GROQ_MODEL"),
        ("retired-model", "not_found", "GROQ_MODEL"),
        ("too-long", "invalid", "too long"),
        ("busy", "rate_limited", "too many requests"),
        ("no-capacity", "unavailable", "no capacity"),
        ("html", "unavailable", "a proxy answered"),
        ("not-there", "not_found", "GROQ_BASE_URL"),
        ("redirect", "broken", "GROQ_BASE_URL"),
        ("html-200", "broken", "GROQ_BASE_URL"),
    ],
)
async def test_a_refusal_tells_the_operator_why(
    habit: str, cause: Cause, hint: str, groq_model: GroqModel
) -> None:
    with capture_logs() as lines, pytest.raises(ProviderUnavailable) as raised:
        await collect(groq_model, f"/habit {habit}")
    [line] = lines
    assert raised.value.cause == cause
    assert hint in str(raised.value.hint)
    assert line["hint"] == raised.value.hint
    assert "secret" not in f"{lines}{raised.value!r}{raised.value.hint}"


async def test_it_says_when_to_come_back(groq_model: GroqModel) -> None:
    with pytest.raises(ProviderUnavailable) as raised:
        await collect(groq_model, "/habit busy")
    assert raised.value.retry_after == 20


async def test_an_environment_meant_for_others_is_not_looked_into(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GROQ_API_KEY", "another")
    monkeypatch.setenv("GROQ_BASE_URL", "http://elsewhere.invalid")
    model = GroqModel(api_key="", model="small")
    assert model._client.api_key == "none"
    assert str(model._client.base_url).rstrip("/") == "https://api.groq.com"
    await model.close()

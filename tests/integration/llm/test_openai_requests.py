"""What the model sends to its vendor."""

import pytest

from talksy.ai.llm import ToolSpec
from talksy.ai.llm.openai import OpenAIModel, _limit_name
from talksy.messages import Prompt
from tests.integration.llm.conftest import collect, user
from tests.vendors.openai_server import OpenAIServer


async def test_a_conversation_is_sent_as_it_is(
    server: OpenAIServer, openai_model: OpenAIModel
) -> None:
    said = [Prompt("system", "Be brief."), Prompt("assistant", "Yes?"), Prompt("user", "Grüß dich")]
    async for _ in openai_model.stream(said):
        pass
    [asked] = server.asked
    assert asked.path == "/v1/chat/completions"
    assert asked.headers["Authorization"] == "Bearer sk-secret"
    assert asked.body == {
        "model": "small",
        "stream": True,
        "stream_options": {"include_usage": True},
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "assistant", "content": "Yes?"},
            {"role": "user", "content": "Grüß dich"},
        ],
    }


async def test_tools_are_told_when_there_are_any(
    server: OpenAIServer, openai_model: OpenAIModel
) -> None:
    schema = {"type": "object", "properties": {"orderId": {"type": "string"}}}
    async for _ in openai_model.stream(user("Hello"), [ToolSpec("find", "Finds.", schema)]):
        pass
    function = {"name": "find", "description": "Finds.", "parameters": schema}
    assert server.asked[0].body["tools"] == [{"type": "function", "function": function}]


async def test_limits_are_sent_where_they_are_set(server: OpenAIServer) -> None:
    model = OpenAIModel(
        api_key="k", model="small", base_url=server.url, max_tokens=50, temperature=0
    )
    await collect(model)
    await model.close()
    assert server.asked[0].body["max_tokens"] == 50
    assert server.asked[0].body["temperature"] == 0


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://api.openai.com/v1", "max_completion_tokens"),
        ("https://eu.api.openai.com/v1", "max_completion_tokens"),
        ("https://me.openai.azure.com/openai/v1", "max_completion_tokens"),
        ("http://localhost:11434/v1", "max_tokens"),
        ("https://openai.com.example.org/v1", "max_tokens"),
        ("not a url", "max_tokens"),
    ],
)
def test_the_limit_has_the_name_the_server_knows(url: str, name: str) -> None:
    assert _limit_name(url) == name


async def test_an_environment_meant_for_others_is_not_looked_into(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "another")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://elsewhere.invalid/v1")
    model = OpenAIModel(api_key="", model="small")
    assert model._client.api_key == "none"
    assert str(model._client.base_url) == "https://api.openai.com/v1/"
    await model.close()

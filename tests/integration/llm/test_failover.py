"""Models of both vendors behind one another, through the real SDKs."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

import pytest

from talksy.ai.llm import (
    Answering,
    Models,
    Part,
    Plan,
    Silence,
    StreamReset,
    ToolCall,
    ToolSpec,
)
from talksy.errors import ProviderFault, ProviderTimeout, ProviderUnavailable
from talksy.messages import Prompt
from tests.integration.llm.conftest import text_of, user
from tests.vendors.groq_server import GroqServer
from tests.vendors.openai_server import HABITS, OpenAIServer
from tests.vendors.replay import Scenario

Open = Callable[..., Models]


@pytest.fixture
async def opened(server: OpenAIServer, groq_server: GroqServer) -> AsyncIterator[Open]:
    """Opens models by name; each that is called like a habit of its vendor has it."""
    options = {
        "openai": {"api_key": "sk-secret", "base_url": server.url},
        "groq": {"api_key": "gsk-secret", "base_url": groq_server.url},
    }
    async with AsyncExitStack() as stack:

        def open_all(*usual: str, **more: Any) -> Models:
            silence = Silence(first_token=1.0, gap=0.2)
            models = Models.open(Plan(usual, options=options, silence=silence, **more))
            stack.push_async_callback(models.close)
            return models

        yield open_all


async def ask(
    models: Models, prompts: Sequence[Prompt] | None = None, *tools: ToolSpec
) -> tuple[list[Part], ProviderFault | None]:
    """The parts of an answer, and what it failed of."""
    parts: list[Part] = []
    try:
        async for part in models.usual.stream(prompts or user("Hello"), tools):
            parts += [part]
    except ProviderFault as fault:
        return parts, fault
    return parts, None


async def test_answers_that_break_off_one_after_the_other_are_each_void(opened: Open) -> None:
    parts, fault = await ask(opened("openai:cut", "groq:hang", "openai:usual"))
    marks = [part for part in parts if isinstance(part, Answering | StreamReset)]
    assert marks == [
        Answering("openai", "cut"),
        StreamReset("provider_unavailable"),
        Answering("groq", "hang", degraded=True),
        StreamReset("provider_timeout"),
        Answering("openai", "usual", degraded=True),
    ]
    assert fault is None
    assert text_of(parts[parts.index(marks[-1]) :]) == "Hello from the replaying server."


async def test_where_all_fail_before_the_first_word_one_failure_is_told(opened: Open) -> None:
    parts, fault = await ask(opened("openai:wrong-key", "groq:busy", "openai:html"))
    assert parts == []
    assert isinstance(fault, ProviderUnavailable)
    assert fault.retry_after == 20
    assert fault.payload() == {**ProviderUnavailable().payload(), "retryAfter": 20}


async def test_a_silent_vendor_is_left_and_its_request_closed(
    opened: Open, server: OpenAIServer
) -> None:
    _, fault = await ask(opened("openai:hang"))
    assert isinstance(fault, ProviderTimeout)
    await server.disconnected.wait()


async def test_a_vendor_that_names_a_time_is_not_asked_before_it(
    opened: Open, groq_server: GroqServer
) -> None:
    models = opened("groq:busy")
    for _ in range(2):
        _, fault = await ask(models)
        assert isinstance(fault, ProviderUnavailable)
        assert fault.retry_after == pytest.approx(20, abs=5)
    assert len(groq_server.asked) == 1


async def test_requests_beyond_the_pace_are_not_sent(opened: Open, groq_server: GroqServer) -> None:
    models = opened("groq:usual", "openai:usual", per_minute={"groq": 2})
    who = [next(part for part in (await ask(models))[0] if isinstance(part, Answering))
           for _ in range(3)]  # fmt: skip
    assert [(each.provider, each.degraded) for each in who] == [
        ("groq", False),
        ("groq", False),
        ("openai", True),
    ]
    assert len(groq_server.asked) == 2


async def test_a_connection_that_breaks_before_the_answer_is_tried_once_more(
    opened: Open, server: OpenAIServer
) -> None:
    _, fault = await ask(opened("openai:cut-at-once"))
    assert isinstance(fault, ProviderUnavailable)
    assert len(server.asked) == 2


async def test_the_next_vendor_is_offered_the_tools_and_gives_the_call(
    opened: Open, server: OpenAIServer, groq_server: GroqServer
) -> None:
    tool = ToolSpec("get_order_status", "Looks it up.", {"type": "object"})
    parts, fault = await ask(opened("openai:broken", "groq:tool"), user("Hello"), tool)
    [call] = [part for part in parts if isinstance(part, ToolCall)]
    assert (fault, call.arguments) == (None, {"orderId": "ORD-1001"})
    assert server.asked[-1].body["tools"] == groq_server.asked[0].body["tools"]


async def test_a_call_that_breaks_off_is_not_given_beside_the_next_vendors(
    opened: Open, server: OpenAIServer
) -> None:
    """It is whole or it is not there, so nothing runs twice."""
    half = Scenario(HABITS["tool"].writes[:4], then="cut")
    server.script(half, half)
    parts, fault = await ask(opened("openai:usual", "groq:tool"))
    assert len(server.asked) == 2
    calls = [part for part in parts if isinstance(part, ToolCall)]
    assert (fault, [call.name for call in calls]) == (None, ["get_order_status"])
    assert Answering("groq", "tool", degraded=True) in parts


async def test_another_vendor_takes_the_results_of_what_the_first_asked_for(
    opened: Open, server: OpenAIServer, groq_server: GroqServer
) -> None:
    """Each would refuse results that do not fit the calls."""
    models = opened("openai:tools", "groq:usual")
    first, _ = await ask(models)
    calls = [part for part in first if isinstance(part, ToolCall)]
    told = [Prompt("tool", '{"result": "it"}', call_id=call.id) for call in calls]
    asked = Prompt("assistant", "One moment. ", calls=calls)
    server.script(HABITS["wrong-key"])
    parts, fault = await ask(models, [*user("Hello"), asked, *told])
    assert fault is None
    assert text_of(parts) == "get_account_balance says: it get_order_status says: it"
    assert groq_server.asked[0].body["messages"][-1]["tool_call_id"] == calls[1].id

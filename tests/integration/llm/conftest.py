"""The replaying server, and models that talk to it through the real SDK."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from talksy.ai.llm import (
    Answering,
    Choice,
    Delta,
    Fallback,
    LanguageModel,
    Part,
    Unwatched,
    Working,
    open_model,
)
from talksy.ai.llm.groq import GroqModel
from talksy.ai.llm.openai import OpenAIModel
from talksy.messages import Prompt
from tests.vendors.groq_server import GroqServer
from tests.vendors.openai_server import OpenAIServer


def user(text: str) -> list[Prompt]:
    return [Prompt("user", text)]


async def collect(
    model: LanguageModel, text: str = "Hello", into: list[Part] | None = None
) -> list[Part]:
    """The parts of an answer that are of use, before a failure also in ``into``."""
    parts = [] if into is None else into
    async for part in model.stream(user(text)):
        if not isinstance(part, Working | Answering):
            parts.append(part)
    return parts


def text_of(parts: Sequence[Part]) -> str:
    return "".join(part.text for part in parts if isinstance(part, Delta))


@pytest.fixture
async def server() -> AsyncIterator[OpenAIServer]:
    async with OpenAIServer() as server:
        yield server


@pytest.fixture
async def openai_model(server: OpenAIServer) -> AsyncIterator[OpenAIModel]:
    """Gives up on a silence of 300 ms, so that a hang need not be waited for."""
    model = OpenAIModel(api_key="sk-secret", model="small", base_url=server.url, read_timeout=0.3)
    yield model
    await model.close()


@pytest.fixture
async def groq_server() -> AsyncIterator[GroqServer]:
    async with GroqServer() as server:
        yield server


@pytest.fixture
async def groq_model(groq_server: GroqServer) -> AsyncIterator[GroqModel]:
    """As ``openai_model``."""
    model = GroqModel(
        api_key="gsk-secret", model="small", base_url=groq_server.url, read_timeout=0.3
    )
    yield model
    await model.close()


@pytest.fixture(params=["mock", "openai", "groq", "fallback"])
async def model(
    request: pytest.FixtureRequest, server: OpenAIServer, groq_server: GroqServer
) -> AsyncIterator[LanguageModel]:
    """Every adapter; the servers follow the same directives as the mock model."""
    options: dict[str, dict[str, Any]] = {
        "mock": {"directives": True},
        "openai": {"api_key": "sk-secret", "model": "small", "base_url": server.url},
        "groq": {"api_key": "gsk-secret", "model": "small", "base_url": groq_server.url},
    }
    name = "openai" if request.param == "fallback" else request.param
    model = open_model(name, options)
    if request.param == "fallback":
        model = Fallback([Choice(model, watcher=Unwatched())], watcher=Unwatched())
    yield model
    await model.close()

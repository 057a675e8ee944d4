"""The replaying server, and models that talk to it through the real SDK."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from talksy.ai.llm import Delta, LanguageModel, Part, open_model
from talksy.ai.llm.openai import OpenAIModel
from talksy.messages import Prompt
from tests.vendors.openai_server import OpenAIServer


def user(text: str) -> list[Prompt]:
    return [Prompt("user", text)]


async def collect(
    model: LanguageModel, text: str = "Hello", into: list[Part] | None = None
) -> list[Part]:
    """The parts of an answer; those before a failure can be found in ``into``."""
    parts = [] if into is None else into
    async for part in model.stream(user(text)):
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


@pytest.fixture(params=["mock", "openai"])
async def model(
    request: pytest.FixtureRequest, server: OpenAIServer
) -> AsyncIterator[LanguageModel]:
    """Every adapter; the server follows the same directives as the mock model."""
    options: dict[str, dict[str, Any]] = {
        "mock": {"directives": True},
        "openai": {"api_key": "sk-secret", "model": "small", "base_url": server.url},
    }
    model = open_model(request.param, options)
    yield model
    await model.close()

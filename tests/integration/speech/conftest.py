"""The replaying servers of both vendors, and what speaks with them through the real SDKs."""

from collections.abc import AsyncIterator

import pytest

from tests.vendors.groq_server import GroqServer
from tests.vendors.openai_server import OpenAIServer


@pytest.fixture
async def openai() -> AsyncIterator[OpenAIServer]:
    async with OpenAIServer() as server:
        yield server


@pytest.fixture
async def groq() -> AsyncIterator[GroqServer]:
    async with GroqServer() as server:
        yield server

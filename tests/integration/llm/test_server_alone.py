"""The replaying server as a process of its own."""

import asyncio
import sys

import pytest

from talksy.ai.llm.openai import OpenAIModel
from talksy.errors import ProviderUnavailable
from tests.integration.llm.conftest import collect, text_of


async def test_it_prints_where_it_is_and_does_what_a_message_says() -> None:
    program = [sys.executable, "-m", "tests.vendors.openai_server", "--port", "0"]
    process = await asyncio.create_subprocess_exec(*program, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    url = (await process.stdout.readline()).decode().strip()
    model = OpenAIModel(api_key="k", model="small", base_url=url)
    try:
        assert text_of(await collect(model, "/habit shredded")) == "grüß dich, 世界 🙂"
        assert text_of(await collect(model, "/mock tokens=2")) == "0 1 "
        with pytest.raises(ProviderUnavailable):
            await collect(model, "/habit error-inside")
    finally:
        await model.close()
        process.terminate()
        await process.wait()

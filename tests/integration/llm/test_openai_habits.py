"""The real SDK against the habits of OpenAI and of compatible servers."""

import asyncio
from contextlib import aclosing

import pytest

from talksy.ai.llm import Delta, Used
from talksy.ai.llm.openai import OpenAIModel
from talksy.messages import Usage
from tests.integration.llm.conftest import collect, text_of, user
from tests.vendors.openai_server import (
    COMMENT,
    DONE,
    GREETING,
    HABITS,
    OpenAIServer,
    answer,
    chunk,
    opening,
    usage,
)
from tests.vendors.replay import Scenario, shredded


async def test_the_role_and_the_usage_chunk_are_no_text(
    server: OpenAIServer, openai_model: OpenAIModel
) -> None:
    server.script(answer("Hel", "lo", cost=usage(read=11, written=2)))
    assert await collect(openai_model) == [
        Delta("Hel"),
        Delta("lo"),
        Used(Usage(input_tokens=11, output_tokens=2)),
    ]


@pytest.mark.parametrize("size", [1, 2, 7])
async def test_characters_and_events_split_between_writes_come_whole(
    size: int, server: OpenAIServer, openai_model: OpenAIModel
) -> None:
    server.script(shredded(answer("grüß ", "dich, 世界", " 👩‍🚀"), size))
    assert text_of(await collect(openai_model)) == "grüß dich, 世界 👩‍🚀"


@pytest.mark.parametrize(
    "writes",
    [
        pytest.param((COMMENT, b"\n\n", COMMENT, *GREETING.writes), id="comments"),
        pytest.param((chunk(choices=[]), *GREETING.writes), id="a-chunk-without-choices-first"),
        pytest.param((chunk({"content": None}), *GREETING.writes), id="null-content"),
        pytest.param((chunk(choices=None), *GREETING.writes), id="null-choices"),
        pytest.param(GREETING.writes[:-1], id="no-done"),
        pytest.param((*GREETING.writes[:-2], DONE), id="no-usage"),
        pytest.param(GREETING.writes[:-2], id="neither"),
        pytest.param(GREETING.writes[1:], id="no-role"),
        pytest.param((*GREETING.writes[:-3], usage(), DONE), id="no-finish-but-usage"),
        pytest.param((*GREETING.writes, b"data: junk\n\n"), id="more-after-done"),
        pytest.param((*GREETING.writes[:-2], b"data: junk\n\n"), id="junk-after-the-finish"),
        pytest.param(
            tuple(each.replace(b"\n", b"\r\n") for each in GREETING.writes), id="carriage-returns"
        ),
        pytest.param(
            tuple(each.replace(b"data: ", b"data:") for each in GREETING.writes), id="no-blank"
        ),
    ],
)
async def test_what_compatible_servers_add_or_leave_out_is_not_minded(
    writes: tuple[bytes, ...], server: OpenAIServer, openai_model: OpenAIModel
) -> None:
    server.script(Scenario(writes))
    assert text_of(await collect(openai_model)) == "Hello from the replaying server."


async def test_usage_on_every_chunk_is_told_once(
    server: OpenAIServer, openai_model: OpenAIModel
) -> None:
    cost = {"prompt_tokens": 4, "completion_tokens": 1}
    first, last = chunk({"content": "a"}, usage=cost), chunk(finish="stop", usage=cost)
    server.script(Scenario((first, first, last, usage(4, 2), DONE)))
    parts = await collect(openai_model)
    assert parts == [Delta("a"), Delta("a"), Used(Usage(4, 2))]


async def test_a_refusal_is_text(server: OpenAIServer, openai_model: OpenAIModel) -> None:
    server.script(Scenario((chunk({"refusal": "I cannot."}), chunk(finish="stop"), DONE)))
    assert text_of(await collect(openai_model)) == "I cannot."


async def test_an_answer_may_be_empty(server: OpenAIServer, openai_model: OpenAIModel) -> None:
    server.script(Scenario((opening(), chunk(finish="stop"), DONE)))
    assert await collect(openai_model) == []


async def test_the_end_is_not_waited_for_once_the_answer_is_whole(
    server: OpenAIServer, openai_model: OpenAIModel
) -> None:
    server.script(Scenario((chunk({"content": "Hi"}, finish="stop"),), then="hang"))
    assert await collect(openai_model) == [Delta("Hi")]


async def test_leaving_a_stream_closes_the_request(
    server: OpenAIServer, openai_model: OpenAIModel
) -> None:
    server.script(HABITS["hang"])
    async with aclosing(openai_model.stream(user("Hello"))) as stream:
        await anext(stream)
    await server.disconnected.wait()


async def test_cancelling_whoever_reads_closes_the_request(
    server: OpenAIServer, openai_model: OpenAIModel
) -> None:
    server.script(HABITS["silence"])
    reading = asyncio.ensure_future(collect(openai_model))
    await server.reached.wait()
    reading.cancel()
    await server.disconnected.wait()
    with pytest.raises(asyncio.CancelledError):
        await reading

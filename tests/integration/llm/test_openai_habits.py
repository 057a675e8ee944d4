"""The real SDK against the habits of OpenAI and of compatible servers."""

import asyncio
from contextlib import aclosing

import pytest

from talksy.ai.llm import Delta, ToolCall, Used
from talksy.ai.llm.openai import OpenAIModel
from talksy.errors import ProviderUnavailable
from talksy.messages import Usage
from tests.integration.llm.conftest import collect, text_of, user
from tests.vendors.openai_server import (
    COMMENT,
    DONE,
    GREETING,
    HABITS,
    OpenAIServer,
    answer,
    call_pieces,
    calling,
    chunk,
    opening,
    usage,
)
from tests.vendors.replay import Scenario, shredded


def piece(index: int | None, call: str | None, name: str | None, arguments: str | None) -> bytes:
    function = {"name": name, "arguments": arguments}
    return chunk({"tool_calls": [{"index": index, "id": call, "function": function}]})


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


async def test_tool_calls_in_pieces_are_put_together(
    server: OpenAIServer, openai_model: OpenAIModel
) -> None:
    first = call_pieces("find", '{"orderId": "ORD-1001"}', index=0, id="call_a")
    second = call_pieces("list", "", index=1, id="call_b")
    mixed = [first[0], second[0], *first[1:]]
    server.script(calling(*mixed))
    assert await collect(openai_model) == [
        ToolCall("call_a", "find", {"orderId": "ORD-1001"}),
        ToolCall("call_b", "list", {}),
        Used(Usage(7, 3)),
    ]


async def test_tool_calls_without_an_index_are_told_apart_by_their_ids(
    server: OpenAIServer, openai_model: OpenAIModel
) -> None:
    server.script(
        calling(
            piece(None, "call_a", "find", '{"a":'),
            piece(None, None, None, " 1}"),
            piece(None, "call_b", "list", None),
        )
    )
    calls = [part for part in await collect(openai_model) if isinstance(part, ToolCall)]
    assert calls == [ToolCall("call_a", "find", {"a": 1}), ToolCall("call_b", "list", {})]


async def test_a_tool_call_without_an_id_gets_one(
    server: OpenAIServer, openai_model: OpenAIModel
) -> None:
    server.script(calling(piece(None, None, "find", "{}")))
    [call, _] = await collect(openai_model)
    assert isinstance(call, ToolCall)
    assert call.id.startswith("call_")


@pytest.mark.parametrize(
    "broken",
    [
        piece(0, "call_a", "find", '{"orderId": "ORD'),
        piece(0, "call_a", "find", "[1]"),
        piece(0, "call_a", "find", '{"a": NaN}'),
        piece(0, "call_a", None, "{}"),
        chunk({"tool_calls": [{"index": 0, "id": "call_a"}]}),
    ],
)
async def test_a_broken_tool_call_is_a_failure(
    broken: bytes, server: OpenAIServer, openai_model: OpenAIModel
) -> None:
    server.script(calling(broken))
    with pytest.raises(ProviderUnavailable, match="tool in a broken form"):
        await collect(openai_model)


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

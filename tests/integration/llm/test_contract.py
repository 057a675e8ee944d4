"""What every language model promises, whoever is behind it."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing

import pytest

from talksy.ai.llm import Answering, Delta, LanguageModel, Part, ToolCall, ToolSpec, Used, Working
from talksy.errors import ProviderUnavailable
from talksy.messages import Prompt
from tests.integration.llm.conftest import collect, text_of, user


async def ask(model: LanguageModel, prompts: Sequence[Prompt], *tools: str) -> list[Part]:
    """The parts of an answer that are of use; ``tools`` are offered."""
    specs = [ToolSpec(name, "Does it.", {"type": "object"}) for name in tools]
    parts = [part async for part in model.stream(prompts, specs)]
    return [part for part in parts if not isinstance(part, Working | Answering)]


def called(parts: Sequence[Part]) -> list[ToolCall]:
    return [part for part in parts if isinstance(part, ToolCall)]


def results(calls: Sequence[ToolCall], text: str) -> list[Prompt]:
    """What was asked for, and what each call came to."""
    told = [Prompt("tool", text, call_id=call.id) for call in calls]
    return [Prompt("assistant", "", calls=calls), *told]


async def test_it_says_who_it_is(model: LanguageModel) -> None:
    assert model.provider in {"mock", "openai", "groq"}
    assert model.model


async def test_text_comes_whole_and_in_order(model: LanguageModel) -> None:
    parts = await collect(model, "/mock tokens=300 chars=4")
    assert text_of(parts).split() == [str(number) for number in range(300)]
    assert len(text_of(parts)) == 300 * 4


async def test_no_delta_is_empty(model: LanguageModel) -> None:
    parts = await collect(model, "Hello")
    assert text_of(parts)
    assert all(part.text for part in parts if isinstance(part, Delta))


async def test_usage_comes_once_and_last(model: LanguageModel) -> None:
    parts = await collect(model, "/mock tokens=5")
    assert [isinstance(part, Used) for part in parts] == [False] * 5 + [True]
    assert isinstance(parts[-1], Used)
    assert parts[-1].usage.input_tokens > 0
    assert parts[-1].usage.output_tokens == 5


async def test_a_tool_call_is_complete_and_comes_after_the_text(model: LanguageModel) -> None:
    text = '/mock before=1 tool=find {"order": {"id": "ÖRD-1"}, "deep": [1, null]}'
    match await ask(model, user(text)):
        case [Delta(), ToolCall(id, "find", arguments), Used()]:
            assert id
            assert arguments == {"order": {"id": "ÖRD-1"}, "deep": [1, None]}
        case parts:
            pytest.fail(f"unexpected: {parts}")


async def test_several_calls_come_at_once_and_have_ids_of_their_own(model: LanguageModel) -> None:
    wishes = [f'tool=find {{"number": {number}}}' for number in range(9)]
    calls = called(await ask(model, user(f"/mock {' '.join(wishes)}")))
    assert [call.arguments for call in calls] == [{"number": number} for number in range(9)]
    assert len({call.id for call in calls}) == 9


async def test_what_a_tool_came_to_is_answered(model: LanguageModel) -> None:
    question = user('/mock tokens=1 tool=find {"a": 1} tool=find {"a": 2}')
    calls = called(await ask(model, question))
    told = text_of(await ask(model, [*question, *results(calls, '{"result": "späť"}')]))
    assert told == "0 find says: späť find says: späť"


async def test_arguments_that_are_no_json_are_given_as_they_came(model: LanguageModel) -> None:
    """Whoever asked is told, and writes them again."""
    question = user('/mock tool=find {"a": "b"} rounds=2 broken=1')
    (broken,) = called(await ask(model, question))
    assert (broken.name, broken.arguments) == ("find", None)
    assert broken.raw.replace(" ", "") == '{"a":"b"'
    error = '{"error": {"code": "VALIDATION_ERROR", "message": "no JSON"}}'
    (call,) = called(await ask(model, [*question, *results([broken], error)]))
    assert (call.arguments, call.raw) == ({"a": "b"}, "")


async def test_a_wish_is_a_call_where_there_is_the_tool_for_it(model: LanguageModel) -> None:
    question = user("Check order status for order_id=ORD-1001")
    (call,) = called(await ask(model, question, "get_order_status"))
    assert (call.name, call.arguments) == ("get_order_status", {"orderId": "ORD-1001"})
    assert called(await ask(model, question, "find")) == []


async def test_a_failure_comes_after_what_was_written(model: LanguageModel) -> None:
    told: list[Part] = []
    with pytest.raises(ProviderUnavailable) as raised:
        await collect(model, "/mock tokens=9 fail_after=2", told)
    assert told == [Delta("0 "), Delta("1 ")]
    assert "sk-secret" not in str(raised.value)


async def test_a_stream_can_be_left_between_two_deltas(model: LanguageModel) -> None:
    async with aclosing(model.stream(user("/mock tokens=3 hang_after=3"))) as stream:
        while not isinstance(await anext(stream), Delta):
            pass
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def test_a_stream_can_be_left_while_it_hangs(model: LanguageModel) -> None:
    begun = asyncio.Event()

    async def read() -> None:
        async with aclosing(model.stream(user("/mock tokens=1 hang_after=1"))) as stream:
            async for _ in stream:
                begun.set()

    reading = asyncio.ensure_future(read())
    await begun.wait()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading


async def test_streams_side_by_side_do_not_mix(model: LanguageModel) -> None:
    counts = [1, 40, 7, 130, 64, 0, 99, 12]
    told = await asyncio.gather(*(collect(model, f"/mock tokens={count}") for count in counts))
    assert [text_of(parts).split() for parts in told] == [
        [str(number) for number in range(count)] for count in counts
    ]


async def test_a_vendor_that_is_there_answers_a_ping(model: LanguageModel) -> None:
    await model.ping()


async def test_a_model_can_be_closed_twice(model: LanguageModel) -> None:
    await model.close()
    await model.close()

"""The mock model: deterministic, paced, and as wayward as it is told to be."""

import asyncio
import time
from contextlib import aclosing

import pytest

from talksy.ai.llm import Delta, Part, ToolCall, Used
from talksy.ai.llm.mock import MockModel
from talksy.errors import ProviderUnavailable
from talksy.messages import Prompt, Usage


async def parts(model: MockModel, *prompts: Prompt) -> list[Part]:
    return [part async for part in model.stream(prompts)]


async def course(text: str, result: str = '{"result": 1}', most: int = 9) -> list[list[Part]]:
    """What is given in each round, every call of which comes to ``result``."""
    talk, rounds = [user(text)], list[list[Part]]()
    while len(rounds) < most:
        rounds.append(await parts(MockModel(directives=True), *talk))
        calls = [part for part in rounds[-1] if isinstance(part, ToolCall)]
        if not calls:
            break
        talk += [Prompt("assistant", "", calls=calls)]
        talk += [Prompt("tool", result, call_id=call.id) for call in calls]
    return rounds


async def answer(model: MockModel, *prompts: Prompt) -> str:
    found = await parts(model, *prompts)
    return "".join(part.text for part in found if isinstance(part, Delta))


def user(text: str) -> Prompt:
    return Prompt("user", text)


async def test_a_reply_comes_word_by_word() -> None:
    found = await parts(MockModel(), user("Hello"))
    assert found[:2] == [Delta("Hello! "), Delta("How ")]
    assert await answer(MockModel(), user("Hello")) == "Hello! How can I help you today?"


async def test_the_same_conversation_gets_the_same_answer() -> None:
    said = [Prompt("system", "Be brief."), user("My order is late")]
    assert await parts(MockModel(), *said) == await parts(MockModel(), *said)


async def test_words_read_and_deltas_written_are_counted() -> None:
    found = await parts(MockModel(), Prompt("system", "Be very brief."), user("Hello"))
    assert found[-1] == Used(Usage(input_tokens=4, output_tokens=7))


async def test_no_conversation_is_answered_too() -> None:
    assert "nothing" in await answer(MockModel())


async def test_a_directive_is_followed_where_directives_are_on() -> None:
    found = await parts(MockModel(directives=True), user("/mock tokens=3 chars=4"))
    assert found[:-1] == [Delta("0   "), Delta("1   "), Delta("2   ")]


async def test_a_directive_is_a_text_like_any_other_where_they_are_off() -> None:
    assert "/mock tokens=3" in await answer(MockModel(), user("/mock tokens=3"))


@pytest.mark.parametrize(
    "later", [Prompt("assistant", "It is on its way."), Prompt("user", "Hello")]
)
async def test_only_the_newest_message_is_followed(later: Prompt) -> None:
    found = await parts(MockModel(directives=True), user("/mock tool=find"), later)
    assert not any(isinstance(part, ToolCall) for part in found)


async def test_a_directive_of_somebody_else_is_not_followed() -> None:
    prompt = Prompt("assistant", "/mock tokens=3")
    assert "/mock tokens=3" in await answer(MockModel(directives=True), prompt)


async def test_a_faulty_directive_is_answered_with_its_fault() -> None:
    told = await answer(MockModel(directives=True), user("/mock tokens=many"))
    assert '"tokens" must be a whole number from 0 to 100000, not "many"' in told


async def test_a_failure_comes_after_the_tokens_before_it() -> None:
    stream = MockModel(directives=True).stream([user("/mock tokens=9 fail_after=2 hang_after=2")])
    assert [await anext(stream), await anext(stream)] == [Delta("0 "), Delta("1 ")]
    with pytest.raises(ProviderUnavailable):
        await anext(stream)


async def test_a_failure_beyond_the_end_does_not_happen() -> None:
    found = await parts(MockModel(directives=True), user("/mock tokens=2 fail_after=3"))
    assert len(found) == 3


async def test_a_tool_is_asked_for_before_the_tokens() -> None:
    match await course('/mock tool=find {"id": 7} tokens=1 before=2'):
        case [
            [Delta("0 "), Delta("1 "), ToolCall(id, "find", {"id": 7}), Used()],
            [Delta("0 "), Delta("find "), Delta("says: "), Delta("1"), Used()],
        ]:
            assert id.startswith("call_")
        case rounds:
            pytest.fail(f"unexpected: {rounds}")


async def test_tools_are_asked_for_again_as_often_as_is_said() -> None:
    *rounds, last = await course("/mock tool=find tool=list rounds=3 broken=1")
    calls = [[part for part in each if isinstance(part, ToolCall)] for each in rounds]
    assert [[call.name for call in each] for each in calls] == [["find", "list"]] * 3
    assert [{call.arguments is None for call in each} for each in calls] == [
        {True},
        {False},
        {False},
    ]
    assert calls[0][0].raw == "{"
    assert "".join(part.text for part in last if isinstance(part, Delta)) == (
        "find says: 1 list says: 1"
    )


async def test_one_that_never_has_enough_is_stopped_by_others() -> None:
    assert len(await course("/mock tool=find rounds=100", most=20)) == 20


async def test_a_fault_is_of_the_answer_after_the_results() -> None:
    with pytest.raises(ProviderUnavailable):
        await course("/mock tool=find tokens=3 fail_after=2 before=5")
    asked, answered = await course("/mock tool=find tokens=1 fail_after=2")
    assert (len(asked), len(answered)) == (2, 5)


async def test_results_of_calls_that_were_trimmed_away_are_told_all_the_same() -> None:
    told = await answer(MockModel(directives=True), user("/mock tool=find"), Prompt("tool", "7"))
    assert told == "A tool says: 7"


async def test_the_results_of_another_providers_calls_are_told() -> None:
    call = ToolCall("call_1", "find", {})
    talk = [user("Hello"), Prompt("assistant", "", calls=[call])]
    result = Prompt("tool", '{"result": "it"}', call_id="call_1")
    assert await answer(MockModel(), *talk, result) == "find says: it"


@pytest.mark.parametrize(
    "text", ["/mock hang_after=1", "/mock tokens=2 delay_ms=60000", "/mock tokens=2"]
)
async def test_a_pause_or_a_hang_lasts_until_it_is_left(text: str) -> None:
    async with aclosing(MockModel(directives=True, delay_ms=60_000).stream([user(text)])) as told:
        assert await anext(told) == Delta("0 ")
        following = asyncio.ensure_future(anext(told))
        await asyncio.sleep(0)
        assert not following.done()
        following.cancel()
        with pytest.raises(asyncio.CancelledError):
            await following


async def test_a_directive_sets_its_own_pace() -> None:
    model = MockModel(directives=True, delay_ms=60_000)
    assert len(await parts(model, user("/mock tokens=200 delay_ms=0"))) == 201


async def test_a_small_pause_ends() -> None:
    assert len(await parts(MockModel(delay_ms=1), user("Hello"))) == 8


async def test_tokens_that_come_together_come_without_a_pause() -> None:
    text = "/mock tokens=4 burst=3 delay_ms=60000"
    async with aclosing(MockModel(directives=True).stream([user(text)])) as told:
        for _ in range(3):
            await anext(told)
        following = asyncio.ensure_future(anext(told))
        await asyncio.sleep(0)
        assert not following.done()
        following.cancel()
        with pytest.raises(asyncio.CancelledError):
            await following


async def test_an_answer_that_is_late_makes_up_for_it() -> None:
    text = "/mock tokens=4 delay_ms=10"
    async with aclosing(MockModel(directives=True).stream([user(text)])) as told:
        await anext(told)
        await asyncio.sleep(0.04)
        for _ in range(3):
            following = asyncio.ensure_future(anext(told))
            for _ in range(3):
                await asyncio.sleep(0)
            assert following.done()


async def test_an_answer_waits_for_its_moment() -> None:
    moment = round(time.time() * 1000) + 40
    await parts(MockModel(directives=True), user(f"/mock tokens=1 at_ms={moment}"))
    assert time.time() * 1000 >= moment


async def test_a_moment_that_is_far_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("talksy.ai.llm.mock._LONGEST_WAIT", 0.01)
    assert len(await parts(MockModel(directives=True), user("/mock tokens=1 at_ms=99999999999999")))


@pytest.mark.parametrize(("text", "turns"), [("tokens=1000", 15), ("tokens=100 burst=1", 99)])
async def test_others_get_their_turn_at_full_speed(text: str, turns: int) -> None:
    steps = 0

    async def count() -> None:
        nonlocal steps
        while True:
            steps += 1
            await asyncio.sleep(0)

    counting = asyncio.ensure_future(count())
    await parts(MockModel(directives=True), user(f"/mock {text}"))
    counting.cancel()
    assert steps >= turns

"""One ending, whatever the model does; and its stream is closed."""

import asyncio
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from talksy.ai.llm import Answering, LanguageModel, Used, Working
from talksy.ai.llm.mock import MockModel
from talksy.conversation import Give, Given, Turn
from talksy.errors import ProviderTimeout, ProviderUnavailable
from talksy.events import Ending, StreamReset
from talksy.messages import Prompt, Usage
from tests.unit.conversation.script import Script


async def run(model: LanguageModel, *said: str) -> tuple[list[str], Ending]:
    given: list[str] = []
    turn = Turn(model, [Prompt("user", text) for text in said or ("hello",)])
    ending = await ended(turn, lambda part: given.append(getattr(part, "text", "RESET")))
    return given, ending


async def ended(turn: Turn, give: Give = lambda _: None) -> Ending:
    ending = await turn.run(give)
    assert isinstance(ending, Ending)
    return ending


async def stopped(
    model: Script, after: Callable[[Turn], None] = lambda turn: turn.stop("cancelled")
) -> Ending:
    """Runs the turn until its model waits, then stops it."""
    turn = Turn(model, [Prompt("user", "hello")])
    running = asyncio.create_task(ended(turn))
    await model.idle.wait()
    after(turn)
    return await running


async def test_a_completed_turn_has_the_whole_text_and_what_it_cost() -> None:
    given, ending = await run(Script("a", "b ", "c", Used(Usage(1, 3))))
    assert given == ["a", "b ", "c"]
    assert (ending.reason, ending.text, ending.usage) == ("completed", "ab c", Usage(1, 3))
    assert (ending.provider, ending.model, ending.error) == ("script", "script-1", None)


async def test_who_takes_over_begins_again_and_is_named() -> None:
    first, second = Answering("a", "a-1"), Answering("b", "b-1", degraded=True)
    reset = StreamReset("provider_timeout")
    given, ending = await run(Script(first, "x", reset, second, Working(), "y", Used(Usage(1, 2))))
    assert given == ["x", "RESET", "y"]
    assert (ending.text, ending.provider, ending.model) == ("y", "b", "b-1")
    assert (ending.degraded, ending.usage) == (True, Usage(1, 2))


async def test_until_somebody_answers_the_first_choice_is_named() -> None:
    _, ending = await run(Script(ProviderUnavailable()))
    assert (ending.provider, ending.model, ending.degraded) == ("script", "script-1", False)


async def test_another_model_than_was_asked_for_is_degraded_whatever_it_says() -> None:
    turn = Turn(Script(Answering("a", "a-1"), "x"), [], degraded=True)
    assert (await ended(turn)).degraded


async def test_the_model_is_given_the_prompts() -> None:
    model = Script("a")
    await run(model, "one", "two")
    assert model.asked == [[Prompt("user", "one"), Prompt("user", "two")]]


@pytest.mark.parametrize("fault", [ProviderUnavailable(), ProviderTimeout("it took long")])
async def test_a_failing_provider_is_told_by_its_code(fault: ProviderUnavailable) -> None:
    model = Script("half", fault)
    given, ending = await run(model)
    assert (given, ending.reason, ending.text) == (["half"], "failed", "half")
    assert ending.error == {"code": fault.code, "message": fault.message}
    assert model.open == 0


@pytest.mark.parametrize("fault", [ValueError("key sk-123"), TimeoutError("sk-123"), KeyError()])
async def test_a_fault_of_ours_is_told_by_a_number_and_logged_under_it(fault: Exception) -> None:
    with capture_logs() as logs:
        _, ending = await run(Script("half", fault))
    assert ending.reason == "failed"
    assert ending.error is not None
    assert ending.error["code"] == "INTERNAL_ERROR"
    assert "sk-123" not in str(ending.error)
    assert [(line["request_id"], line["exc_info"]) for line in logs] == [
        (ending.error["requestId"], fault)
    ]


async def test_a_turn_stopped_before_its_first_step_asks_nobody() -> None:
    model = Script("a")
    turn = Turn(model, [Prompt("user", "hello")])
    turn.stop("cancelled", {"code": "X", "message": "y"})
    ending = await ended(turn, lambda _: pytest.fail("it was stopped"))
    assert (ending.reason, ending.text, ending.error) == (
        "cancelled",
        "",
        {"code": "X", "message": "y"},
    )
    assert model.asked == []


async def test_a_turn_stopped_in_mid_stream_keeps_what_was_given() -> None:
    model = Script("a", "b", asyncio.Event(), "c")
    ending = await stopped(model)
    assert (ending.reason, ending.text, ending.error) == ("cancelled", "ab", None)
    assert model.open == 0


async def test_of_several_stops_the_first_counts() -> None:
    def stop(turn: Turn) -> None:
        turn.stop("interrupted")
        turn.stop("cancelled", {"code": "X"})

    ending = await stopped(Script(asyncio.Event()), stop)
    assert (ending.reason, ending.error) == ("interrupted", None)


@pytest.mark.parametrize("farewell", [ValueError("hm"), TimeoutError(), ProviderUnavailable()])
async def test_a_stopped_turn_ends_as_it_was_told_whatever_the_model_says_to_it(
    farewell: Exception,
) -> None:
    model = Script("a", asyncio.Event(), farewell=farewell)
    ending = await stopped(model)
    assert (ending.reason, ending.text) == ("cancelled", "a")
    assert model.open == 0


async def test_a_turn_stopped_by_who_is_given_its_text_ends() -> None:
    model = Script("a", asyncio.Event())
    turn = Turn(model, [Prompt("user", "hello")])
    ending = await ended(turn, lambda _: turn.stop("failed", {"code": "X"}))
    assert (ending.reason, ending.text, ending.error) == ("failed", "a", {"code": "X"})


async def test_a_stop_after_the_ending_changes_nothing() -> None:
    turn = Turn(Script("a"), [Prompt("user", "hello")])
    ending = await ended(turn)
    turn.stop("cancelled")
    await asyncio.sleep(0)
    assert ending.reason == "completed"


async def test_who_is_given_the_text_may_fail_and_the_model_is_closed() -> None:
    def explode(_: Given) -> None:
        raise RuntimeError

    model = Script("a", "b")
    turn = Turn(model, [Prompt("user", "hello")])
    with capture_logs():
        ending = await ended(turn, explode)
    assert (ending.reason, model.open) == ("failed", 0)


async def test_cancelling_the_task_closes_the_model_and_is_not_swallowed() -> None:
    model = Script("a", asyncio.Event())
    running = asyncio.create_task(Turn(model, [Prompt("user", "x")]).run(lambda _: None))
    await model.idle.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert model.open == 0


@pytest.mark.parametrize(
    ("directive", "reason", "text"),
    [
        ("/mock tokens=3", "completed", "0 1 2 "),
        ("/mock tokens=0", "completed", ""),
        ("/mock tokens=5 fail_after=2", "failed", "0 1 "),
    ],
)
async def test_the_mock_model_rehearses_any_course(directive: str, reason: str, text: str) -> None:
    _, ending = await run(MockModel(directives=True), directive)
    assert (ending.reason, ending.text) == (reason, text)


async def test_a_model_that_hangs_can_be_stopped() -> None:
    turn = Turn(MockModel(directives=True), [Prompt("user", "/mock tokens=2 hang_after=1")])
    first = asyncio.Event()
    running = asyncio.create_task(ended(turn, lambda _: first.set()))
    await first.wait()
    turn.stop("interrupted")
    ending = await running
    assert (ending.reason, ending.text) == ("interrupted", "0 ")

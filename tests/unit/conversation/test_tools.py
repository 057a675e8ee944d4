"""What a model asks of tools in the middle of an answer, and what it is told."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import pytest

from talksy.ai.llm import Delta, StreamReset, ToolCall, ToolSpec, Used
from talksy.conversation import Checked, Give, Given, Parked, Turn
from talksy.conversation.prompts import RESULT_CHARS
from talksy.errors import ToolNotFound, ValidationError
from talksy.events import Ending, ToolAsked, ToolDone
from talksy.messages import Prompt, Usage
from tests.unit.conversation.script import Rounds, Step

LATER = 1_000


class Box:
    """Tools that double a number; ``ask`` waits for a person, ``slow`` for an event."""

    specs: Sequence[ToolSpec] = (ToolSpec("double", "Doubles.", {"type": "object"}),)

    def __init__(self) -> None:
        self.made: list[tuple[str, Mapping[str, Any], bool]] = []
        self.late: dict[str, ToolDone] = {}
        self.running = 0
        self.most = 0
        self.go = asyncio.Event()
        self.begun = asyncio.Event()

    def check(self, name: str, arguments: Mapping[str, Any]) -> Checked:
        if name == "fly":
            raise ToolNotFound
        if "number" not in arguments:
            raise ValidationError("number is missing", faults=[("number", "is missing")])
        return Checked(arguments, LATER if name == "ask" else None)

    async def run(self, call: ToolCall, *, approved: bool) -> ToolDone:
        assert call.arguments is not None
        self.made.append((call.name, call.arguments, approved))
        self.running += 1
        self.most = max(self.most, self.running)
        self.begun.set()
        try:
            if call.name == "slow":
                await self.go.wait()
            if call.name == "bug":
                raise RuntimeError("secret")
        finally:
            self.running -= 1
        return ToolDone(call.id, call.name, "done", call.arguments["number"] * 2, ms=1)

    def ended(self, call_id: str) -> ToolDone | None:
        return self.late.get(call_id)


def call(name: str = "double", number: Any = 21, **more: Any) -> ToolCall:
    return ToolCall("call_1", name, {"number": number}, **more)


async def converse(model: Rounds, box: Box, **more: Any) -> tuple[list[Given], Ending]:
    given: list[Given] = []
    ending = await Turn(model, [Prompt("user", "hello")], box, **more).run(given.append)
    assert isinstance(ending, Ending)
    return given, ending


def told(model: Rounds, round_: int = 1) -> list[Any]:
    """What the model was told of its calls the last time but it asked."""
    prompts = model.asked[round_]
    return [orjson.loads(prompt.content) for prompt in prompts if prompt.role == "tool"]


def results(given: Sequence[Given]) -> list[ToolDone]:
    return [part for part in given if isinstance(part, ToolDone)]


async def test_a_model_calls_a_tool_in_mid_answer_and_goes_on() -> None:
    model = Rounds(["Let me see.", call(), Used(Usage(1, 2))], ["42", Used(Usage(10, 20))])
    given, ending = await converse(model, Box())
    asked, done = given[1:3]
    assert isinstance(asked, ToolAsked)
    assert isinstance(done, ToolDone)
    assert (asked.name, asked.arguments, asked.expires_at) == ("double", {"number": 21}, None)
    assert (done.call_id, done.status, done.result) == (asked.call_id, "done", 42)
    assert (ending.reason, ending.text) == ("completed", "Let me see.\n\n42")
    assert ending.usage == Usage(11, 22)
    assert told(model) == [{"untrusted": True, "result": 42}]


async def test_the_model_is_shown_what_it_said_and_asked_under_our_own_ids() -> None:
    model = Rounds(["Hm.", call(), call(number=4)], ["done"])
    await converse(model, Box())
    said, *tools = model.asked[1][1:]
    assert (said.role, said.content) == ("assistant", "Hm.")
    ids = [each.id for each in said.calls]
    assert len(set(ids)) == 2
    assert all(each.startswith("call_") for each in ids)
    assert [tool.call_id for tool in tools] == ids


async def test_calls_of_one_answer_are_made_side_by_side_but_not_too_many() -> None:
    box = Box()
    model = Rounds([call("slow", number) for number in range(8)], ["done"])
    running = asyncio.create_task(converse(model, box))
    await box.begun.wait()
    for _ in range(20):
        await asyncio.sleep(0)
    assert box.running == 5
    box.go.set()
    given, _ = await running
    assert sorted(done.result for done in results(given)) == [0, 2, 4, 6, 8, 10, 12, 14]
    assert box.most == 5


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (ToolCall("1", "fly", {"number": 1}), "TOOL_NOT_FOUND"),
        (ToolCall("1", "double", {}), "VALIDATION_ERROR"),
        (ToolCall("1", "bug", {"number": 1}), "INTERNAL_ERROR"),
    ],
)
async def test_a_call_that_fails_is_an_answer_and_no_end(wrong: ToolCall, code: str) -> None:
    model = Rounds([wrong], ["never mind"])
    given, ending = await converse(model, Box())
    (done,) = results(given)
    assert (done.status, done.error and done.error["code"]) == ("failed", code)
    assert "secret" not in str(done.error)
    assert told(model)[0]["error"]["code"] == code
    assert (ending.reason, ending.text) == ("completed", "never mind")


async def test_broken_arguments_are_told_to_the_model_alone_once_and_then_fail() -> None:
    broken = ToolCall("1", "double", None, raw='{"number": ')
    model = Rounds([broken], [broken], ["I give up"])
    given, ending = await converse(model, Box())
    assert told(model)[0]["error"]["code"] == "VALIDATION_ERROR"
    assert '{"number": ' in told(model)[0]["error"]["message"]
    assert isinstance(given[0], ToolAsked)
    (done,) = results(given)
    assert done.error is not None
    assert (done.status, done.error["code"]) == ("failed", "VALIDATION_ERROR")
    assert ending.text == "I give up"


async def test_who_asks_for_ever_is_told_to_answer_and_then_stopped() -> None:
    model = Rounds([call()])
    given, ending = await converse(model, Box(), steps=3)
    assert len(results(given)) == 3
    assert model.offered == [["double"], ["double"], ["double"], []]
    assert ending.error is not None
    assert (ending.reason, ending.error["code"]) == ("failed", "TOOL_FAILED")


async def test_what_was_said_before_a_tool_survives_another_provider_behind_it() -> None:
    reset = StreamReset("provider_timeout")
    model = Rounds(["Let me see. ", call()], ["It is", reset, "42"])
    given, ending = await converse(model, Box())
    behind = given[given.index(reset) + 1 :]
    assert behind == [Delta("Let me see. "), Delta("42")]
    assert ending.text == "Let me see. 42"


async def test_stopping_a_turn_ends_its_calls_and_closes_each() -> None:
    box = Box()
    model = Rounds([call("slow", number) for number in range(7)], ["never"])
    given: list[Given] = []
    turn = Turn(model, [Prompt("user", "hello")], box)
    running = asyncio.create_task(turn.run(given.append))
    await box.begun.wait()
    turn.stop("cancelled")
    ending = await running
    assert isinstance(ending, Ending)
    assert (ending.reason, box.running) == ("cancelled", 0)
    asked = [part.call_id for part in given if isinstance(part, ToolAsked)]
    assert sorted(done.call_id for done in results(given)) == sorted(asked)
    assert {done.status for done in results(given)} == {"failed"}


async def test_what_was_done_before_the_end_is_not_told_as_undone() -> None:
    box = Box()
    given: list[Given] = []
    turn = Turn(Rounds([call("slow")], ["never"]), [Prompt("user", "hello")], box)
    running = asyncio.create_task(turn.run(given.append))
    await box.begun.wait()
    asked = next(part for part in given if isinstance(part, ToolAsked))
    box.late[asked.call_id] = ToolDone(asked.call_id, "slow", "done", 42)
    turn.stop("cancelled")
    await running
    assert [(done.status, done.result) for done in results(given)] == [("done", 42)]


async def test_a_long_result_is_cut_for_the_model_alone() -> None:
    model = Rounds([call(number="x" * RESULT_CHARS)], ["long"])
    given, _ = await converse(model, Box())
    assert len(results(given)[0].result) == 2 * RESULT_CHARS
    (seen,) = told(model)
    assert (len(seen["result"]), seen["cut"]) == (RESULT_CHARS, True)


# ---- what waits for a person


async def parked(model: Rounds, box: Box, give: Give = lambda _: None) -> Parked:
    waits = await Turn(model, [Prompt("user", "hello")], box).run(give)
    assert isinstance(waits, Parked)
    # As another node reads it.
    return Parked.of(orjson.loads(orjson.dumps(waits.data())))


ASKING: list[list[Step]] = [
    ["First. ", call(number=1), call("ask", 2), Used(Usage(1, 1))],
    ["Done."],
]


async def test_a_turn_waits_for_a_person_as_data() -> None:
    given: list[Given] = []
    box = Box()
    waits = await parked(Rounds(*ASKING), box, given.append)
    assert [(each.call.name, each.expires_at) for each in waits.waiting] == [("ask", LATER)]
    assert (waits.said, waits.steps, waits.usage) == ("First. ", 1, Usage(1, 1))
    assert [made[0] for made in box.made] == ["double"]
    # What waits is shown by who stores it: before that nobody could decide.
    assert [part.name for part in given if isinstance(part, ToolAsked)] == ["double"]
    assert waits.waiting[0].asked.expires_at == LATER


async def test_what_was_approved_runs_with_the_arguments_that_were_shown() -> None:
    waits = await parked(Rounds(*ASKING), Box())
    box, model = Box(), Rounds(["Done."])
    (waiting,) = waits.waiting
    given, ending = await converse(model, box, parked=waits, decided={waiting.call.id: None})
    assert box.made == [("ask", {"number": 2}, True)]
    assert results(given)[0].result == 4
    assert (ending.text, ending.usage) == ("First. Done.", Usage(1, 1))
    assert told(model, 0) == [
        {"untrusted": True, "result": 2},
        {"untrusted": True, "result": 4},
    ]


@pytest.mark.parametrize(
    ("decision", "code"), [("denied", "TOOL_DENIED"), ("expired", "APPROVAL_EXPIRED")]
)
async def test_what_nobody_approved_does_not_run_and_the_model_is_told(
    decision: Any, code: str
) -> None:
    waits = await parked(Rounds(*ASKING), Box())
    box, model = Box(), Rounds(["As you wish."])
    (waiting,) = waits.waiting
    given, ending = await converse(model, box, parked=waits, decided={waiting.call.id: decision})
    (done,) = results(given)
    assert (done.status, done.error and done.error["code"], box.made) == (decision, code, [])
    assert told(model, 0)[1]["error"]["code"] == code
    assert ending.text == "First. As you wish."


async def test_a_turn_that_is_stopped_while_it_waits_closes_what_it_asked_for() -> None:
    waits = await parked(Rounds(*ASKING), Box())
    box, model = Box(), Rounds(["never"])
    turn = Turn(model, [], box, parked=waits)
    turn.stop("cancelled")
    given: list[Given] = []
    ending = await turn.run(given.append)
    assert isinstance(ending, Ending)
    assert ([done.status for done in results(given)], model.asked) == (["failed"], [])
    assert (ending.reason, ending.text) == ("cancelled", "First. ")


# ---- what fits


async def test_old_results_make_way_for_new_ones() -> None:
    model = Rounds([call(number="x" * 1_000)], [call(number="y" * 1_000)], ["done"])
    await converse(model, Box(), budget=1_500)
    first, second = told(model, 2)
    assert first["result"].startswith("(left out")
    assert second["result"] == "y" * 2_000
    assert model.asked[2][0].content == "hello"


async def test_what_was_said_before_makes_way_for_results() -> None:
    model = Rounds([call(number="x" * 1_000)], ["done"])
    said = [Prompt("system", "Be kind."), Prompt("user", "old " * 500), Prompt("user", "hello")]
    await Turn(model, said, Box(), budget=1_000).run(lambda _: None)
    assert [prompt.content for prompt in model.asked[1][:2]] == ["Be kind.", "hello"]
    assert told(model)[0]["result"] == "x" * 2_000

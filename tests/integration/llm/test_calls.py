"""What models ask of tools, through the real SDKs, in all the forms that servers give it."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from structlog.testing import capture_logs

from talksy.ai.llm import Delta, LanguageModel, ToolCall, ToolSpec, Used, Working, open_model
from talksy.ai.llm.calls import MOST_BYTES, MOST_CALLS
from talksy.errors import ProviderUnavailable
from talksy.messages import Prompt, Usage
from tests.integration.llm.conftest import collect, text_of, user
from tests.vendors.groq_server import GroqServer, asking
from tests.vendors.openai_server import OpenAIServer, calling, chunk
from tests.vendors.replay import ReplayServer, Scenario

VENDORS: dict[str, type[ReplayServer]] = {"openai": OpenAIServer, "groq": GroqServer}
FIND = [ToolSpec("find", "Finds an order.", {"type": "object"})]


class Vendor:
    """A model and the server behind it."""

    def __init__(self, name: str, server: ReplayServer, model: LanguageModel) -> None:
        self.server = server
        self.model = model
        self._name = name

    async def calls(self, *pieces: bytes, finish: str = "tool_calls") -> list[tuple[str, Any]]:
        """What is asked for where the vendor sends ``pieces``, by name and arguments."""
        compose = calling if self._name == "openai" else asking
        self.server.script(compose(*pieces, finish=finish))
        parts = await collect(self.model)
        calls = [part for part in parts if isinstance(part, ToolCall)]
        assert len({call.id for call in calls}) == len(calls)
        assert all(call.id.startswith("call_") for call in calls)
        return [(call.name, call.raw if call.arguments is None else call.arguments)
                for call in calls]  # fmt: skip


@pytest.fixture(params=VENDORS)
async def vendor(request: pytest.FixtureRequest) -> AsyncIterator[Vendor]:
    async with VENDORS[request.param]() as server:
        options = {"api_key": "sk-secret", "model": "small", "base_url": server.url}
        model = open_model(request.param, {request.param: options})
        yield Vendor(request.param, server, model)
        await model.close()


def piece(
    index: int | None = None,
    call: str | None = None,
    name: str | None = None,
    arguments: str | None = None,
) -> bytes:
    function = {"name": name, "arguments": arguments}
    return chunk({"tool_calls": [{"index": index, "id": call, "function": function}]})


def pieces(*texts: str) -> list[bytes]:
    """One call whose arguments come as ``texts``."""
    return [piece(0, "call_a", "find", ""), *(piece(0, None, None, text) for text in texts)]


async def test_two_calls_whose_pieces_come_mixed_are_put_together(vendor: Vendor) -> None:
    parts = await collect(vendor.model, "/habit tools")
    match parts:
        case [Delta("One moment. "), ToolCall() as first, ToolCall() as second, Used(Usage(7, 3))]:
            assert (first.name, first.arguments) == ("get_account_balance", {"userId": "user-1"})
            assert (second.name, second.arguments) == ("get_order_status", {"orderId": "ORD-1001"})
        case _:
            pytest.fail(f"unexpected: {parts}")


@pytest.mark.parametrize(
    ("texts", "arguments"),
    [
        (['{"a": "x\\', "n\\u00", 'e9"}'], {"a": "x\né"}),
        (['{"a": "\\ud8', "3d\\ude00", '"}'], {"a": "😀"}),
        (['{"a": "\ud83d', '\ude00"}'], {"a": "😀"}),
        (['{"a": "\ud83d"}'], {"a": "\ufffd"}),
        (['{"a": -1', "2.", "5e", '1, "b": tr', "ue}"], {"a": -125.0, "b": True}),
        (["{", "}"], {}),
        ([" ", ""], {}),
        ([], {}),
    ],
)
async def test_arguments_may_be_split_anywhere(
    texts: Sequence[str], arguments: Any, vendor: Vendor
) -> None:
    assert await vendor.calls(*pieces(*texts)) == [("find", arguments)]


@pytest.mark.parametrize(
    "text",
    [
        '{"orderId": "ORD',
        "[1]",
        "null",
        '{"a": NaN}',
        '{"a": 1} {"b": 2}',
        '{"a": "\\ud83d"}',
        '{"a":' * 300 + "1" + "}" * 300,
    ],
    ids=["cut", "a list", "null", "NaN", "two", "half a character", "too deep"],
)
async def test_what_is_no_object_is_given_as_it_came(text: str, vendor: Vendor) -> None:
    assert await vendor.calls(*pieces(text)) == [("find", text)]


async def test_of_what_is_no_object_the_beginning_is_given(vendor: Vendor) -> None:
    assert await vendor.calls(*pieces("{" * 5_000)) == [("find", "{" * 2_000)]


@pytest.mark.parametrize("text", ["", '{"a": '])
async def test_a_call_that_was_cut_short_is_not_made(text: str, vendor: Vendor) -> None:
    """Not one without arguments either: they might still have come."""
    assert await vendor.calls(*pieces(text), finish="length") == [("find", text)]


async def test_a_call_that_was_whole_before_the_answer_was_cut_is_made(vendor: Vendor) -> None:
    assert await vendor.calls(*pieces("{}"), finish="length") == [("find", {})]


async def test_a_vendor_may_end_with_stop_where_it_asks_for_a_tool(vendor: Vendor) -> None:
    assert await vendor.calls(*pieces("{}"), finish="stop") == [("find", {})]


A, B = ("find", {"a": 1}), ("find", {"b": 2})


@pytest.mark.parametrize(
    ("sent", "calls"),
    [
        ([piece(0, "x", "find", '{"a": 1}'), piece(1, "x", "find", '{"b": 2}')], [A, B]),
        ([piece(0, None, "find", '{"a": 1}'), piece(1, "", "find", '{"b": 2}')], [A, B]),
        ([piece(0, "x", "find", '{"a": 1}'), piece(0, "y", "find", '{"b": 2}')], [A, B]),
        ([piece(None, "x", "find", '{"a":'), piece(None, None, None, " 1}")], [A]),
        ([piece(None, "x", "find", '{"a":'), piece(None, "x", None, " 1}")], [A]),
        ([piece(None, "x", "find", '{"a": 1}'), piece(None, "x", "find", '{"b": 2}')], [A, B]),
        ([piece(None, None, "find", '{"a": 1}'), piece(None, None, "find", '{"b": 2}')], [A, B]),
        ([piece(0, "x", "find", '{"a":'), piece(0, "y", None, " 1}")], [A]),
        ([piece(7, "x", "find", '{"a":'), piece(7, "x", "find", " 1}")], [A]),
        ([piece(1, "x", "find", '{"a": 1}'), piece(0, "y", "find", '{"b": 2}')], [A, B]),
    ],
    ids=[
        "one id for two",
        "no ids",
        "one index for two",
        "no index",
        "no index but ids",
        "no index and one id for two",
        "neither",
        "an id for each piece",
        "everything in each piece",
        "the last index first",
    ],
)
async def test_pieces_of_every_server_find_their_call(
    sent: Sequence[bytes], calls: Sequence[tuple[str, Any]], vendor: Vendor
) -> None:
    assert await vendor.calls(*sent) == calls


@pytest.mark.parametrize(
    "sent",
    [
        [piece(0, "call_a", None, "{}")],
        [chunk({"tool_calls": [{"index": 0, "id": "call_a"}]})],
        [*pieces("{}"), piece(1, "call_b", "", "{}")],
        [piece(number, f"call_{number}", "find", "{}") for number in range(MOST_CALLS + 1)],
        pieces(*["x" * 100_000] * (MOST_BYTES // 100_000 + 1)),
    ],
    ids=["no name", "no function", "no name beside one", "too many", "too large"],
)
async def test_calls_that_cannot_be_followed_fail_the_provider(
    sent: Sequence[bytes], vendor: Vendor
) -> None:
    """All of them, so that none was made when another provider is asked."""
    with pytest.raises(ProviderUnavailable, match="tools in a broken form") as raised:
        await vendor.calls(*sent)
    assert raised.value.cause == "broken"


async def test_calls_beside_text_are_bounded_too(vendor: Vendor) -> None:
    function = {"name": "find", "arguments": "x" * (MOST_BYTES + 1)}
    delta = {"content": "text", "tool_calls": [{"index": 0, "function": function}]}
    with pytest.raises(ProviderUnavailable, match="tools in a broken form"):
        await vendor.calls(chunk(delta))


async def test_as_many_calls_as_may_be_are_made(vendor: Vendor) -> None:
    sent = [piece(number, "call_a", "find", "{}") for number in range(MOST_CALLS)]
    assert len(await vendor.calls(*sent)) == MOST_CALLS


async def test_a_call_is_a_sign_of_life_while_it_is_written(vendor: Vendor) -> None:
    parts = [part async for part in vendor.model.stream(user("/habit tool"))]
    assert Working() in parts


async def test_results_go_back_in_the_vendors_form(vendor: Vendor) -> None:
    """The server refuses any other form, as the vendors do."""
    asked = [
        ToolCall("call_1", "find", {"orderId": "ÖRD"}),
        ToolCall("call_2", "find", None, '{"orderId'),
        ToolCall("call_3", "functions.find it!", {}),
    ]
    told = [Prompt("tool", '{"result": 1}', call_id=call.id) for call in asked]
    talk = [*user("Hello"), Prompt("assistant", "", calls=asked), *told]
    assert text_of([part async for part in vendor.model.stream(talk, FIND)])
    _, sent, *results = vendor.server.asked[0].body["messages"]
    assert sent["content"] is None
    assert [call["function"] for call in sent["tool_calls"]] == [
        {"name": "find", "arguments": '{"orderId":"ÖRD"}'},
        {"name": "find", "arguments": '{"invalid_json":"{\\"orderId"}'},
        {"name": "functions_find_it_", "arguments": "{}"},
    ]
    assert [call["id"] for call in sent["tool_calls"]] == ["call_1", "call_2", "call_3"]
    assert results[0] == {"role": "tool", "tool_call_id": "call_1", "content": '{"result": 1}'}


async def test_text_before_calls_goes_back_with_them(vendor: Vendor) -> None:
    asked = Prompt("assistant", "One moment.", calls=[ToolCall("call_1", "find", {})])
    talk = [*user("Hello"), asked, Prompt("tool", "{}", call_id="call_1")]
    async for _ in vendor.model.stream(talk):
        pass
    assert vendor.server.asked[0].body["messages"][1]["content"] == "One moment."


async def test_a_result_that_is_missing_is_refused_by_the_vendor(vendor: Vendor) -> None:
    asked = Prompt("assistant", "", calls=[ToolCall("call_1", "find", {})])
    with pytest.raises(ProviderUnavailable) as raised:
        async for _ in vendor.model.stream([*user("Hello"), asked, *user("And?")]):
            pass
    assert raised.value.cause == "invalid"


def refused(status: int, message: str, code: str | None = None) -> Scenario:
    body = chunk(error={"message": message, "type": "x", "param": None, "code": code})
    return Scenario((body.removeprefix(b"data: "),), status, {"Content-Type": "application/json"})


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, "registry/gemma does not support tools"),
        (404, "No endpoints found that support tool use."),
        (500, "tools param requires --jinja flag"),
    ],
)
async def test_where_tools_are_refused_the_log_says_what_to_put_right(
    status: int, message: str, vendor: Vendor
) -> None:
    """They are not left out: what a tool knows would be made up. And no breaker opens."""
    vendor.server.script(refused(status, message))
    with capture_logs() as lines, pytest.raises(ProviderUnavailable) as raised:
        async for _ in vendor.model.stream(user("Hello"), FIND):
            pass
    assert raised.value.cause == "invalid"
    [line] = lines
    assert "can the model of" in line["hint"]
    assert "_MODEL use tools" in line["hint"]
    assert len(vendor.server.asked) == 1


async def test_where_no_tools_were_offered_none_are_blamed(vendor: Vendor) -> None:
    vendor.server.script(refused(400, "registry/gemma does not support tools"))
    with pytest.raises(ProviderUnavailable) as raised:
        await collect(vendor.model)
    assert "use tools" not in str(raised.value.hint)


async def test_a_call_that_the_vendor_itself_cannot_read_is_named(vendor: Vendor) -> None:
    vendor.server.script(refused(400, "Failed to call a function.", "tool_use_failed"))
    with pytest.raises(ProviderUnavailable) as raised:
        await collect(vendor.model)
    assert raised.value.cause == "invalid"
    assert "cannot read" in str(raised.value.hint)

"""Tools, as the stock JavaScript client sees them: in answers, called by itself, and approved."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.e2e.accounts import Account
from tests.e2e.browser import Browser, browsing
from tests.e2e.client import Event
from tests.floors import ROOT
from tests.proxy import running_proxy
from tests.server import running_server

pytestmark = pytest.mark.asyncio(loop_scope="module")

BALANCE = {"userId": "user-1", "balance": 1250.75, "currency": "USD"}
QUESTIONS = {
    "balance": ("What is my balance? user_id=user-1", "get_account_balance", "1250.75"),
    "order": ("Check order status for order_id=ORD-1001", "get_order_status", "shipped"),
}
NUMBERED = ("stream_", "tool_call", "tool_result", "assistant_response")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def url() -> AsyncIterator[str]:
    """A server with tools that must be approved."""
    async with running_server(
        TOOL_MODULES="tests.e2e.toolshed",
        TOOL_MAX_PARAMETER_SIZE=1_000,
        PYTHONPATH=ROOT,
        STREAM_COALESCE_MS=0,
    ) as server:
        yield server.url


@pytest_asyncio.fixture(loop_scope="module")
async def account(url: str) -> Account:
    return await Account.register(url)


@pytest_asyncio.fixture(loop_scope="module")
async def phone(url: str, account: Account) -> AsyncIterator[Browser]:
    """A device in a session of its own."""
    async with browsing(url, account.token) as browser:
        await browser.until_named("SESSION_CREATED")
        yield browser


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def clumsy(url: str) -> AsyncIterator[Browser]:
    """A device of which nothing is accepted."""
    account = await Account.register(url)
    async with browsing(url, account.token) as browser:
        yield browser


@asynccontextmanager
async def laptop(url: str, account: Account, phone: Browser) -> AsyncIterator[Browser]:
    """Another device in the same session."""
    session_id = phone.named("SESSION_CREATED")[0]["sessionId"]
    async with browsing(url, account.token, session_id=session_id) as browser:
        await browser.until_named("SESSION_RESTORED")
        yield browser


async def course(browser: Browser, turn_id: str) -> list[Event]:
    """The events of a turn to its end, whose numbers have no gap; chunks are one."""
    ends = ("stream_end", "assistant_response")
    await browser.until(lambda event: event.name in ends and event.data["turnId"] == turn_id)
    events = [
        event
        for event in browser.events
        if event.name.startswith(NUMBERED) and event.data.get("turnId") == turn_id
    ]
    assert [event.data["seq"] for event in events] == list(range(len(events)))
    return events


def names(events: list[Event]) -> list[str]:
    """What came, the chunks left out."""
    return [event.name for event in events if event.name != "stream_chunk"]


def text_of(events: list[Event]) -> str:
    said = [event.data["content"] for event in events if event.name == "stream_chunk"]
    return "".join(said) or str(events[-1].data["text"])


async def ask_to_pay(browser: Browser, ledger: Path) -> tuple[str, str]:
    """Starts a turn that waits for a person; returns its id and that of its call."""
    arguments = f'{{"ledger": "{ledger}", "amount": 5}}'
    ack = await browser.call("user_message_stream", {"text": f"/mock tool=pay {arguments}"})
    asked = await browser.until_named("tool_call", turnId=ack["turnId"])
    assert (asked["needsApproval"], asked["parameters"]["amount"]) == (True, 5)
    return ack["turnId"], asked["callId"]


# ---- in an answer


@pytest.mark.parametrize("kind", QUESTIONS)
@pytest.mark.parametrize(
    ("event", "around"),
    [
        ("user_message_stream", ["stream_start", "stream_end"]),
        ("user_message", ["assistant_response"]),
    ],
    ids=["streamed", "plain"],
)
async def test_the_model_asks_for_a_tool_and_answers_with_what_it_gave(
    phone: Browser, event: str, around: list[str], kind: str
) -> None:
    text, tool, answer = QUESTIONS[kind]

    ack = await phone.call(event, {"text": text})
    events = await course(phone, ack["turnId"])

    *start, end = around
    assert names(events) == [*start, "tool_call", "tool_result", end]
    asked, done = (each.data for each in events if each.name.startswith("tool_"))
    assert asked["callId"] == done["callId"]
    assert asked["toolName"] == done["toolName"] == tool
    assert (done["success"], done["status"]) == (True, "done")
    assert answer in text_of(events)


async def test_tools_that_are_asked_for_at_once_are_all_shown_before_they_end(
    phone: Browser,
) -> None:
    balance = 'tool=get_account_balance {"userId": "user-1"}'
    order = 'tool=get_order_status {"orderId": "ORD-1001"}'

    ack = await phone.call("user_message_stream", {"text": f"/mock {balance} {order}"})
    events = await course(phone, ack["turnId"])

    tools = ["tool_call", "tool_call", "tool_result", "tool_result"]
    assert names(events) == ["stream_start", *tools, "stream_end"]
    results = {each["toolName"]: each["result"] for each in phone.named("tool_result")}
    assert results["get_account_balance"] == BALANCE
    assert results["get_order_status"]["status"] == "shipped"


async def test_a_tool_that_fails_is_told_to_the_model_and_the_answer_goes_on(
    phone: Browser,
) -> None:
    ack = await phone.call("user_message_stream", {"text": "balance of user_id=nobody"})
    events = await course(phone, ack["turnId"])

    (done,) = (each.data for each in events if each.name == "tool_result")
    assert (done["success"], done["error"]["code"]) == (False, "TOOL_FAILED")
    assert events[-1].data["reason"] == "completed"
    assert "failed" in text_of(events)


async def test_a_line_that_is_cut_between_call_and_result_loses_and_repeats_nothing(
    url: str, account: Account
) -> None:
    async with running_proxy(url) as proxy, browsing(proxy.url, account.token) as browser:
        await browser.until_named("SESSION_CREATED")
        proxy.cut_before(b"tool_call", b"tool_result")
        ack = await browser.call("user_message_stream", {"text": QUESTIONS["order"][0]})
        events = await course(browser, ack["turnId"])

        assert proxy.cuts == 2
        assert names(events) == ["stream_start", "tool_call", "tool_result", "stream_end"]


# ---- what a person decides


async def test_what_waits_for_a_person_is_named_to_who_comes_and_either_may_refuse(
    url: str, account: Account, phone: Browser, tmp_path: Path
) -> None:
    turn_id, call_id = await ask_to_pay(phone, tmp_path / "ledger")
    async with laptop(url, account, phone) as other:
        restored = await other.until_named("SESSION_RESTORED")
        assert [turn.get("pending") for turn in restored["activeTurns"]] == [[call_id]]

        ack = await other.call("tool_decision", {"callId": call_id, "decision": "deny"})

        assert ack == {"ok": True, "decision": "deny", "id": ack["id"]}
        for device in (phone, other):
            decided = await device.until_named("tool_decided")
            assert decided == {"callId": call_id, "decision": "deny", "turnId": turn_id}
    events = await course(phone, turn_id)
    (done,) = (each.data for each in events if each.name == "tool_result")
    assert (done["status"], done["error"]["code"]) == ("denied", "TOOL_DENIED")
    assert "pay was refused" in text_of(events)
    assert not (tmp_path / "ledger").exists()


async def test_what_is_approved_runs_once_and_the_first_decision_counts(
    phone: Browser, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger"
    turn_id, call_id = await ask_to_pay(phone, ledger)

    first = await phone.call("tool_decision", {"callId": call_id, "decision": "approve"})
    events = await course(phone, turn_id)
    second = await phone.call("tool_decision", {"callId": call_id, "decision": "deny"})

    assert first.items() >= {"ok": True, "decision": "approve"}.items()
    assert second.items() >= {"ok": True, "decision": "approve", "already": True}.items()
    assert names(events) == ["stream_start", "tool_call", "tool_result", "stream_end"]
    assert ledger.read_text() == f"{call_id}\n"
    assert "paid 5" in text_of(events)


# ---- what a client calls itself


async def test_a_client_calls_a_tool_and_all_its_devices_are_told_the_result(
    url: str, account: Account, phone: Browser
) -> None:
    async with laptop(url, account, phone) as other:
        call = {"toolName": "get_account_balance", "parameters": {"userId": "user-1"}}
        ack = await phone.call("call_tool", {**call, "callId": "mine"})

        assert ack == {"ok": True, "callId": "mine", "id": ack["id"]}
        for device in (phone, other):
            done = await device.until_named("tool_result", callId="mine")
            assert (done["result"], done["status"]) == (BALANCE, "done")
            assert done.keys().isdisjoint({"turnId", "seq", "error"})
        order = [event.name for event in phone.events if event.name in ("ack", "tool_result")]
        assert order == ["ack", "tool_result"]


async def test_a_clients_own_call_waits_for_a_person_as_well(
    url: str, account: Account, phone: Browser, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger"
    call = {"toolName": "pay", "parameters": {"ledger": str(ledger), "amount": 7}}
    call_id = (await phone.call("call_tool", call))["callId"]
    asked = await phone.until_named("tool_call", callId=call_id)
    assert asked["needsApproval"] is True
    async with laptop(url, account, phone) as other:
        assert await other.until_named("tool_call") == asked

        await other.call("tool_decision", {"callId": call_id, "decision": "approve"})

        for device in (phone, other):
            assert (await device.until_named("tool_result"))["result"] == "paid 7"
    assert ledger.read_text() == f"{call_id}\n"


async def test_the_tools_are_listed_each_with_its_schema(phone: Browser) -> None:
    await phone.call("list_tools", {"category": "data"})
    listed = await phone.until_named("tools_list")
    await phone.call("get_tool_info", {"toolName": "get_order_status"})
    told = await phone.until_named("tool_info")

    assert told in listed
    assert [tool["name"] for tool in listed] == sorted(tool["name"] for tool in listed)
    assert {tool["category"] for tool in listed} == {"data"}
    assert told["parameters"]["required"] == ["orderId"]
    assert (told["timeoutMs"], told["policy"]) == (30_000, "auto")


ORDER = {"toolName": "get_order_status", "parameters": {"orderId": "ORD-1001"}}


@pytest.mark.parametrize(
    ("event", "payload", "code", "paths"),
    [
        ("list_tools", {"category": "food"}, "VALIDATION_ERROR", ["category"]),
        ("list_tools", {"all": True}, "VALIDATION_ERROR", ["all"]),
        ("get_tool_info", {}, "VALIDATION_ERROR", ["toolName"]),
        ("get_tool_info", {"toolName": ""}, "VALIDATION_ERROR", ["toolName"]),
        ("get_tool_info", {"toolName": "no_tool"}, "TOOL_NOT_FOUND", []),
        ("call_tool", {"toolName": "no_tool"}, "TOOL_NOT_FOUND", []),
        ("call_tool", {**ORDER, "parameters": [1]}, "VALIDATION_ERROR", ["parameters"]),
        ("call_tool", {**ORDER, "parameters": {}}, "VALIDATION_ERROR", ["parameters.orderId"]),
        (
            "call_tool",
            {**ORDER, "parameters": {"orderId": 7, "colour": "red"}},
            "VALIDATION_ERROR",
            ["parameters.orderId", "parameters.colour"],
        ),
        ("call_tool", {**ORDER, "callId": "two words"}, "VALIDATION_ERROR", ["callId"]),
        ("call_tool", {**ORDER, "callId": 7}, "VALIDATION_ERROR", ["callId"]),
        (
            "call_tool",
            {**ORDER, "parameters": {"orderId": "x" * 2_000}},
            "PAYLOAD_TOO_LARGE",
            [],
        ),
        ("tool_decision", {"callId": "call_1"}, "VALIDATION_ERROR", ["decision"]),
        (
            "tool_decision",
            {"callId": "call_1", "decision": "perhaps"},
            "VALIDATION_ERROR",
            ["decision"],
        ),
        ("tool_decision", {"callId": "call_1", "decision": "deny"}, "NOT_FOUND", []),
    ],
)
async def test_what_is_wrong_is_named(
    clumsy: Browser, event: str, payload: dict[str, Any], code: str, paths: list[str]
) -> None:
    ack = await clumsy.call(event, payload)

    assert ack["ok"] is False
    assert ack["error"]["code"] == code
    assert sorted(fault["path"] for fault in ack["error"].get("errors", [])) == sorted(paths)
    assert not clumsy.named("tool_result")

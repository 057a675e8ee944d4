"""Tools that vendors' models ask for: through their own SDKs to the client and back."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.e2e.accounts import Account
from tests.e2e.client import Client
from tests.server import running_server
from tests.vendors.replay import ReplayServer
from tests.vendors.table import VENDORS

pytestmark = pytest.mark.asyncio(loop_scope="module")

MAIL = """
from talksy.tools import tool

@tool(policy="ask")
async def send_mail(to: str) -> str:
    '''Sends a mail.'''
    return f"sent to {to}"
"""
BALANCE = {"userId": "user-1", "balance": 1250.75, "currency": "USD"}


@dataclass(frozen=True)
class House:
    """A server between both vendors."""

    url: str
    vendors: Mapping[str, ReplayServer]


@dataclass(frozen=True)
class Talk:
    """A client in a session of its own, which is answered by one of them."""

    client: Client
    vendor: ReplayServer
    model: str

    async def course(self, text: str, *, stream: bool = True) -> tuple[list[str], str]:
        """What the client was told of a turn, by name, and the whole answer."""
        ack = await self.client.say(text, stream=stream, model=self.model)
        ending = await self.client.ending(ack["turnId"])
        events = self.client.turn(ack["turnId"])
        assert [event.data["seq"] for event in events] == list(range(len(events)))
        assert ending["reason"] == "completed"
        said = [event.data["content"] for event in events if event.name == "stream_chunk"]
        names = [event.name for event in events if event.name != "stream_chunk"]
        return names, "".join(said) if stream else ending["text"]

    def results(self, name: str) -> dict[str, Any]:
        """A field of what each tool came to."""
        return {each["toolName"]: each.get(name) for each in self.client.named("tool_result")}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    folder: Path = tmp_path_factory.mktemp("tools")
    (folder / "mail_tools.py").write_text(MAIL)
    async with AsyncExitStack() as stack:
        settings: dict[str, Any] = {"TOOL_MODULES": "mail_tools", "PYTHONPATH": folder}
        vendors: dict[str, ReplayServer] = {}
        for name, kind in VENDORS.items():
            vendors[name] = await stack.enter_async_context(kind())
            settings[f"{name.upper()}_BASE_URL"] = vendors[name].url
            settings[f"{name.upper()}_API_KEY"] = "sk-secret"
        server = await stack.enter_async_context(
            running_server(
                AI_PROVIDER="openai:usual",
                AI_MODELS=",".join(f"{name}:small" for name in vendors),
                STREAM_COALESCE_MS=0,
                **settings,
            )
        )
        yield House(server.url, vendors)


@pytest_asyncio.fixture(params=VENDORS, loop_scope="module")
async def talk(house: House, request: pytest.FixtureRequest) -> AsyncIterator[Talk]:
    account = await Account.register(house.url)
    client = await Client.connect(house.url, auth={"token": account.token})
    vendor = house.vendors[request.param]
    vendor.asked.clear()
    yield Talk(client, vendor, f"{request.param}:small")
    await client.close()


async def test_two_tools_that_are_asked_for_at_once_are_answered(talk: Talk) -> None:
    """Text, two calls whose arguments come in mixed pieces, their results, and the answer."""
    names, text = await talk.course("/habit tools")
    called, done = ["tool_call"] * 2, ["tool_result"] * 2
    assert names == ["stream_start", *called, *done, "stream_end"]
    assert talk.results("result")["get_account_balance"] == BALANCE
    assert text.startswith("One moment. ")
    assert '"balance":1250.75' in text
    assert '"status":"shipped"' in text


async def test_the_vendor_is_given_the_results_under_the_calls_ids(talk: Talk) -> None:
    await talk.course("/habit tools")
    *_, asked, first, second = talk.vendor.asked[1].body["messages"]
    ids = [call["id"] for call in asked["tool_calls"]]
    assert [first["tool_call_id"], second["tool_call_id"]] == ids
    assert ids == [each["callId"] for each in talk.client.named("tool_call")]


async def test_a_plain_answer_has_its_tools_as_well(talk: Talk) -> None:
    names, text = await talk.course("What is my balance? user_id=user-1", stream=False)
    assert names == ["tool_call", "tool_result", "assistant_response"]
    assert "1250.75" in text


async def test_a_call_that_was_cut_short_is_told_to_the_model_alone(talk: Talk) -> None:
    names, text = await talk.course("/habit tool-cut")
    assert names == ["stream_start", "stream_end"]
    assert "no JSON object" in text


async def test_a_call_that_a_person_refuses_is_told_to_the_model(talk: Talk) -> None:
    """The other one, of the same answer, has run."""
    text = '/mock tool=send_mail {"to": "ada"} tool=get_account_balance {"userId": "user-1"}'
    ack = await talk.client.say(text, model=talk.model)
    asked = await talk.client.wait("tool_call", toolName="send_mail")
    assert asked["needsApproval"]
    decision = {"callId": asked["callId"], "decision": "deny"}
    answer = await talk.client.call("tool_decision", decision)
    assert answer["ok"], answer
    ending = await talk.client.ending(ack["turnId"])
    assert talk.results("status") == {"send_mail": "denied", "get_account_balance": "done"}
    said = "".join(each["content"] for each in talk.client.named("stream_chunk"))
    assert ending["reason"] == "completed"
    assert "send_mail was refused" in said
    assert "1250.75" in said

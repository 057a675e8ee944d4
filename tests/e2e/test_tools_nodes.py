"""Tools on several nodes: asked for on one, approved on another, whoever dies in between."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.accounts import Account
from tests.e2e.client import Client, Event
from tests.e2e.conftest import Door
from tests.postgres import Postgres, given_postgres, running_postgres
from tests.redis import Redis, running_redis
from tests.server import Server, running_server

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    if given := given_postgres():
        yield given
        return
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="module")
def redis() -> Iterator[Redis]:
    with running_redis() as server:
        yield server


@pytest.fixture
async def nodes(
    postgres: Postgres, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[list[Server]]:
    """Nodes A and B; a test may kill A."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    shared: dict[str, Any] = {
        "DATABASE_URL": postgres.url("postgres"),
        "REDIS_URL": redis.url,
        "TOOL_MODULES": "tests.e2e.toolshed",
        "NODE_LEASE_MS": 1_500,
    }
    async with AsyncExitStack() as stack:
        opening = [stack.enter_async_context(running_server(**shared)) for _ in range(2)]
        yield await asyncio.gather(*opening)


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "ledger"


def asking(name: str, **arguments: Any) -> str:
    return f"/mock tokens=2 tool={name} {json.dumps(arguments)}"


def whole(events: Sequence[Event], after: int = -1) -> list[str]:
    """The names of a turn's events, which are numbered without a gap and end once."""
    seqs = [event.data["seq"] for event in events]
    assert seqs == list(range(after + 1, after + 1 + len(seqs)))
    names = [event.name for event in events]
    assert [name for name in names if name == "stream_end"] == names[-1:]
    return names


def noted(ledger: Path) -> list[str]:
    """The calls that were really made."""
    return ledger.read_text().split() if ledger.exists() else []


async def asked(door: Door, account: Account, text: str) -> tuple[Client, str, dict[str, Any]]:
    """A client, its turn and the call that waits for a person."""
    client = await door.open(account)
    turn_id = (await client.say(text))["turnId"]
    return client, turn_id, await client.wait("tool_call", turnId=turn_id)


async def test_asked_on_one_node_and_approved_on_another_after_both_came_back(
    nodes: list[Server], open_clients: AsyncExitStack, ledger: Path
) -> None:
    account = await Account.register(nodes[0].url)
    a, b = (Door(node.url, "websocket", open_clients) for node in nodes)
    first, turn_id, call = await asked(a, account, asking("pay", ledger=str(ledger), amount=5))
    assert (call["needsApproval"], call["parameters"]["amount"]) == (True, 5)
    session = (await first.session())["sessionId"]
    second = await b.open(account, sessionId=session)
    await first.drop()
    await second.drop()

    resume = [{"turnId": turn_id, "after": call["seq"]}]
    first = await a.open(account, sessionId=session, resume=resume)
    second = await b.open(account, sessionId=session, resume=[{"turnId": turn_id, "after": -1}])
    for client in (first, second):
        (active,) = (await client.session())["activeTurns"]
        assert active["pending"] == [call["callId"]]
    decision = {"callId": call["callId"], "decision": "approve"}
    assert (await second.call("tool_decision", decision))["ok"]
    for client in (first, second):
        assert (await client.ending(turn_id))["reason"] == "completed"
        assert (await client.wait("tool_result", turnId=turn_id))["result"] == "paid 5"
        assert (await client.wait("tool_decided"))["decision"] == "approve"
    names = whole(second.turn(turn_id))
    assert names.index("tool_call") < names.index("tool_result")
    assert whole(first.turn(turn_id), after=call["seq"]) == names[call["seq"] + 1 :]
    late = await first.call("tool_decision", {**decision, "decision": "deny"})
    assert (late["decision"], late["already"]) == ("approve", True)
    assert noted(ledger) == [call["callId"]]


async def test_the_node_that_asked_dies_and_it_is_approved_all_the_same(
    nodes: list[Server], open_clients: AsyncExitStack, ledger: Path
) -> None:
    account = await Account.register(nodes[0].url)
    a, b = (Door(node.url, "websocket", open_clients) for node in nodes)
    first, turn_id, call = await asked(a, account, asking("pay", ledger=str(ledger), amount=7))
    await nodes[0].logged("turn_parked")
    nodes[0].kill()
    await first.disconnected()
    session = (await first.session())["sessionId"]
    resume = [{"turnId": turn_id, "after": call["seq"]}]
    back = await b.open(account, sessionId=session, resume=resume)
    # Longer than a lease: what waits is nobody's, and nobody's death ends it.
    await asyncio.sleep(3)
    decision = {"callId": call["callId"], "decision": "approve"}
    assert (await back.call("tool_decision", decision))["ok"]
    assert (await back.ending(turn_id))["reason"] == "completed"
    assert whole(back.turn(turn_id), after=call["seq"])[0] == "tool_result"
    assert noted(ledger) == [call["callId"]]


async def test_a_tool_whose_node_was_killed_is_unknown_and_does_not_run_again(
    nodes: list[Server], open_clients: AsyncExitStack, ledger: Path
) -> None:
    account = await Account.register(nodes[0].url)
    a, b = (Door(node.url, "websocket", open_clients) for node in nodes)
    client, turn_id, call = await asked(a, account, asking("brood", ledger=str(ledger)))
    session = (await client.session())["sessionId"]
    other = await b.open(account, sessionId=session, resume=[{"turnId": turn_id, "after": -1}])
    await other.wait("tool_call", callId=call["callId"])
    async with asyncio.timeout(5):
        while not noted(ledger):  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(0.01)
    nodes[0].kill()
    await other.wait_for(lambda _: bool(other.named("stream_end")), seconds=12)
    (ending,) = other.named("stream_end")
    (result,) = other.named("tool_result")
    assert (ending["reason"], result["status"]) == ("interrupted", "unknown")
    assert "nextTurnId" not in ending
    whole(other.turn(turn_id))
    assert noted(ledger) == [call["callId"]]

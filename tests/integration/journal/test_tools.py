"""Tools in turns of several nodes: who runs them, who decides, and what the dead leave behind."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import select

from talksy.ai.llm import ToolCall
from talksy.database.calls import Calls
from talksy.database.tables import parked_turns, sessions, tool_calls, turns
from talksy.events import Decision, Ending, Event, ToolAsked, ToolDone
from talksy.journal import Keep
from talksy.state import Bus, MemoryBus, MemoryHub, MemoryLog, TurnLog
from talksy.state.redis import RedisState
from talksy.tools import Caller, Tool, tool
from tests.integration.database.opened import Fresh, fresh, postgres, tables, until
from tests.integration.database.rows import NOW
from tests.integration.journal.fleet import KEEP, Fleet, several
from tests.integration.journal.rig import Client, Rig
from tests.redis import shared_redis
from tests.unit.conversation.script import Rounds, Step

__all__ = ["fresh", "postgres", "tables"]

APPROVAL_MS = 300_000
Serve = Callable[[str], Awaitable[TurnLog]]


class Hand:
    """What the tools of a test do: ``made`` has each call that was really made."""

    def __init__(self) -> None:
        self.made: list[tuple[str, str]] = []
        self.go = asyncio.Event()

        @tool
        async def greet(name: str, caller: Caller) -> str:
            """Greets somebody."""
            self.made.append(("greet", caller.effect_id))
            return f"hello {name}"

        @tool(policy="ask")
        async def pay(amount: int, caller: Caller) -> int:
            """Pays an amount."""
            self.made.append(("pay", caller.effect_id))
            return amount

        @tool
        async def wait(caller: Caller) -> str:
            """Waits."""
            self.made.append(("wait", caller.effect_id))
            await self.go.wait()
            return "waited"

        @tool(idempotent=True)
        async def look(caller: Caller) -> str:
            """Looks, which does no harm."""
            self.made.append(("look", caller.effect_id))
            await self.go.wait()
            return "seen"

        self.tools: list[Tool] = [greet, pay, wait, look]


@pytest.fixture
def hand() -> Hand:
    return Hand()


@pytest.fixture
def url(fresh: Fresh) -> Iterator[str]:
    """A database of each kind in turn."""
    with fresh() as where:
        yield where


@asynccontextmanager
async def nodes_of(kind: str, url: str, hand: Hand) -> AsyncIterator[Fleet]:
    hub = MemoryHub()
    async with AsyncExitStack() as stack:

        async def ways(name: str) -> tuple[TurnLog, Bus]:
            if kind == "memory":
                return MemoryLog(hub), MemoryBus(hub)
            state = await stack.enter_async_context(RedisState.open(shared_redis().url, node=name))
            return state.log, state.bus

        fleet = await stack.enter_async_context(several(url, ways))
        fleet.tools = hand.tools
        yield fleet


@pytest.fixture(params=["memory", "redis"])
async def fleet(request: pytest.FixtureRequest, url: str, hand: Hand) -> AsyncIterator[Fleet]:
    async with nodes_of(request.param, url, hand) as fleet:
        yield fleet


async def node(fleet: Fleet, name: str, keep: Keep = KEEP) -> Rig:
    rig = await fleet.join(name, keep=keep)
    if len(fleet.members) == 1:
        await rig.database.write(
            lambda rows: rows.execute(
                sessions.insert().values(
                    id="ses_1",
                    user_id="usr_1",
                    created_at=NOW,
                    opened_at=NOW,
                    last_active_at=NOW,
                    expires_at=NOW + 1_000_000,
                )
            )
        )
    return rig


async def ask(rig: Rig, *rounds: list[Step], message: str = "m1", streamed: bool = True) -> str:
    rig.models[message] = Rounds(*rounds)
    said = await rig.say(message, streamed=streamed)
    return said.turn_id


async def decide(rig: Rig, call_id: str, decision: Decision) -> Any:
    assert rig.tools is not None
    decided = await rig.tools.calls.decide("ses_1", call_id, decision, rig.tools.clock())
    if decided is not None and decided.turn is not None:
        rig.journal.start(decided.turn)
    return decided


def call(name: str, /, **arguments: Any) -> ToolCall:
    return ToolCall("call_1", name, arguments)


def seen(client: Client, kind: type[Event]) -> list[Any]:
    return [event for _, event in client.got if isinstance(event, kind)]


async def status(fleet: Fleet, call_id: str) -> str:
    database = next(iter(fleet.members.values())).database
    query = select(tool_calls.c.status).where(tool_calls.c.id == call_id)
    return str(await database.read(lambda rows: rows.execute(query).scalar_one()))


async def waits_for(client: Client) -> ToolAsked:
    """The call that a person is asked about."""
    await until(lambda: any(each.expires_at for each in seen(client, ToolAsked)))
    asked: ToolAsked = next(each for each in seen(client, ToolAsked) if each.expires_at)
    return asked


async def taken(fleet: Fleet, turn_id: str) -> None:
    """Ends the lease of ``node_a``, again where it was renewed, until another has its turn."""
    async with asyncio.timeout(10):
        while (await fleet.row(turn_id)).owner == "node_a":
            await fleet.bury("node_a")
            await asyncio.sleep(0.02)


async def parked(fleet: Fleet, turn_id: str) -> None:
    async with asyncio.timeout(5):
        while (await fleet.row(turn_id)).status != "parked":  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.01)


PAYING: tuple[list[Step], ...] = (["Let me pay. ", call("pay", amount=5)], ["Paid."])


@pytest.mark.parametrize("streamed", [True, False])
async def test_what_a_tool_does_is_read_on_every_node_in_one_numbering(
    fleet: Fleet, hand: Hand, streamed: bool
) -> None:
    a, _ = await node(fleet, "node_a"), await node(fleet, "node_b")
    first: list[Step] = ["Hm. ", call("greet", name="Ada"), call("greet", name="Bo")]
    turn_id = await ask(a, first, ["Done."], streamed=streamed)
    reader = await fleet.follow("node_b", turn_id)
    ending = await reader.ending()
    assert reader.got == a.client("m1").got or ending == await a.ending("m1")
    assert sorted(done.result for done in seen(reader, ToolDone)) == ["hello Ada", "hello Bo"]
    ids = [asked.call_id for asked in seen(reader, ToolAsked)]
    assert sorted(effect for _, effect in hand.made) == sorted(ids)
    assert (await fleet.row(turn_id)).text == "Hm. Done."


async def test_asked_on_one_node_and_approved_on_another_it_runs_once(
    fleet: Fleet, hand: Hand
) -> None:
    a, b = await node(fleet, "node_a"), await node(fleet, "node_b")
    turn_id = await ask(a, *PAYING)
    asked = await waits_for(a.client("m1"))
    await parked(fleet, turn_id)
    b.models["m1"] = Rounds(["Paid."])
    reader = await fleet.follow("node_b", turn_id)
    first = await decide(b, asked.call_id, "approve")
    again = await decide(a, asked.call_id, "deny")
    await reader.ending()
    await a.ending("m1")
    assert hand.made == [("pay", asked.call_id)]
    assert (first.decision, first.already) == ("approve", False)
    assert (again.decision, again.already) == ("approve", True)
    assert reader.text == a.client("m1").text == "Let me pay. Paid."
    assert (await fleet.row(turn_id)).text == "Let me pay. Paid."
    assert await status(fleet, asked.call_id) == "done"


async def test_a_node_that_dies_while_a_turn_waits_takes_nothing_along(
    fleet: Fleet, hand: Hand
) -> None:
    a, b = await node(fleet, "node_a"), await node(fleet, "node_b")
    turn_id = await ask(a, *PAYING)
    asked = await waits_for(a.client("m1"))
    await parked(fleet, turn_id)
    await fleet.bury("node_a")
    b.models["m1"] = Rounds(["Paid."])
    await asyncio.sleep(0.2)  # as long as a few looks for what the dead left
    assert (await fleet.row(turn_id)).status == "parked"
    reader = await fleet.follow("node_b", turn_id)
    await decide(b, asked.call_id, "approve")
    assert (await reader.ending()).reason == "completed"
    assert hand.made == [("pay", asked.call_id)]


async def test_what_is_refused_does_not_run(fleet: Fleet, hand: Hand) -> None:
    a = await node(fleet, "node_a")
    await ask(a, PAYING[0], ["As you wish."])
    asked = await waits_for(a.client("m1"))
    await parked(fleet, (await fleet.row(a.client("m1").reader.mirror.turn_id)).id)  # type: ignore[union-attr]
    await decide(a, asked.call_id, "deny")
    await a.ending("m1")
    (done,) = seen(a.client("m1"), ToolDone)
    assert (done.status, done.error["code"], hand.made) == ("denied", "TOOL_DENIED", [])


async def test_nobody_decides_and_the_turn_goes_on_without(fleet: Fleet, hand: Hand) -> None:
    a, b = await node(fleet, "node_a"), await node(fleet, "node_b")
    b.models["m1"] = Rounds(["Too late."])
    turn_id = await ask(a, PAYING[0], ["Too late."])
    asked = await waits_for(a.client("m1"))
    await parked(fleet, turn_id)
    assert asked.expires_at == NOW + 1 + APPROVAL_MS
    fleet.now = asked.expires_at
    assert (await a.ending("m1")).reason == "completed"
    (done,) = seen(a.client("m1"), ToolDone)
    assert (done.status, done.error["code"], hand.made) == ("expired", "APPROVAL_EXPIRED", [])
    assert (await decide(b, asked.call_id, "approve")).decision is None


async def test_of_two_calls_both_are_decided_before_the_turn_goes_on(
    fleet: Fleet, hand: Hand
) -> None:
    a = await node(fleet, "node_a")
    turn_id = await ask(a, [call("pay", amount=1), call("pay", amount=2)], ["Done."])
    await until(lambda: len(seen(a.client("m1"), ToolAsked)) == 2)
    await parked(fleet, turn_id)
    first, second = seen(a.client("m1"), ToolAsked)
    assert (await decide(a, first.call_id, "approve")).turn is None
    assert (await fleet.row(turn_id)).status == "parked"
    assert (await decide(a, second.call_id, "deny")).turn is not None
    await a.ending("m1")
    results = {done.call_id: done.status for done in seen(a.client("m1"), ToolDone)}
    assert results == {first.call_id: "done", second.call_id: "denied"}
    assert hand.made == [("pay", first.call_id)]


async def test_a_turn_that_waits_can_be_ended_from_anywhere(fleet: Fleet, hand: Hand) -> None:
    a, b = await node(fleet, "node_a"), await node(fleet, "node_b")
    turn_id = await ask(a, *PAYING)
    await waits_for(a.client("m1"))
    await parked(fleet, turn_id)
    ending = await b.journal.stop_far(await fleet.row(turn_id), "cancelled")
    assert ending is not None
    assert (ending.reason, ending.text) == ("cancelled", "Let me pay. ")
    assert (await a.ending("m1")).reason == "cancelled"
    (done,) = seen(a.client("m1"), ToolDone)
    assert (done.status, hand.made) == ("failed", [])


async def test_nobody_decides_about_a_turn_that_was_ended(fleet: Fleet, hand: Hand) -> None:
    a, b = await node(fleet, "node_a"), await node(fleet, "node_b")
    turn_id = await ask(a, *PAYING)
    asked = await waits_for(a.client("m1"))
    await b.journal.stop_far(await fleet.row(turn_id), "cancelled")
    decided = await decide(a, asked.call_id, "approve")
    assert (decided.decision, decided.already, hand.made) == (None, True, [])


async def test_an_interrupting_message_ends_a_turn_that_waits(fleet: Fleet) -> None:
    a, b = await node(fleet, "node_a"), await node(fleet, "node_b")
    turn_id = await ask(a, *PAYING)
    await waits_for(a.client("m1"))
    await parked(fleet, turn_id)
    admission = await b.say("m2", "new", on_busy="interrupt")
    assert admission.interrupts is not None
    b.journal.urge(admission.interrupts, "interrupted")
    assert (await a.ending("m1")).reason == "interrupted"
    assert (await b.ending("m2")).text == "new" or b.client("m2").text == "new"


async def test_who_comes_late_to_a_turn_that_waits_reads_all_of_it(fleet: Fleet) -> None:
    a, b = await node(fleet, "node_a"), await node(fleet, "node_b")
    turn_id = await ask(a, *PAYING)
    asked = await waits_for(a.client("m1"))
    await parked(fleet, turn_id)
    reader = await fleet.follow("node_b", turn_id)
    await until(lambda: len(reader.got) == 3)
    assert seen(reader, ToolAsked) == [asked]
    b.models["m1"] = Rounds(["Paid."])
    await decide(b, asked.call_id, "approve")
    await reader.ending()
    assert reader.text == "Let me pay. Paid."


async def test_a_tool_whose_node_died_may_have_run_and_is_not_run_again(
    fleet: Fleet, hand: Hand
) -> None:
    a, b = await node(fleet, "node_a"), await node(fleet, "node_b")
    turn_id = await ask(a, [call("wait")], ["never"])
    reader = await fleet.follow("node_b", turn_id)
    await until(lambda: bool(hand.made and seen(reader, ToolAsked)))
    await taken(fleet, turn_id)
    ending = await reader.ending()
    (done,) = seen(reader, ToolDone)
    assert (ending.reason, ending.next_turn_id, done.status) == ("interrupted", None, "unknown")
    assert await status(fleet, done.call_id) == "unknown"
    assert [name for name, _ in hand.made] == ["wait"]
    assert b.announced == []


async def test_a_node_that_lost_a_turn_does_not_say_how_its_calls_ended(
    fleet: Fleet, hand: Hand
) -> None:
    a = await node(fleet, "node_a")
    turn_id = await ask(a, [call("wait")], ["never"])
    await until(lambda: bool(hand.made))
    ((_, call_id),) = hand.made
    moved = turns.update().where(turns.c.id == turn_id).values(owner="node_x", fence=2)
    await a.database.write(lambda rows: rows.execute(moved))
    await until(lambda: a.journal.running == 0)
    assert a.tools is not None
    await a.tools.settle()
    assert await status(fleet, call_id) in {"running", "unknown"}


async def test_what_was_approved_and_not_begun_is_done_by_whoever_takes_over(
    fleet: Fleet, hand: Hand
) -> None:
    a, b = await node(fleet, "node_a"), await node(fleet, "node_b")
    turn_id = await ask(a, *PAYING)
    asked = await waits_for(a.client("m1"))
    await parked(fleet, turn_id)
    reader = await fleet.follow("node_b", turn_id)
    b.models["m1"] = Rounds(["Paid."])
    # The node that hears the decision has no lease: it died with it.
    dead = await fleet.member("node_x")
    assert dead.tools is not None
    await dead.tools.calls.decide("ses_1", asked.call_id, "approve", fleet.now)
    assert (await reader.ending()).reason == "completed"
    assert hand.made == [("pay", asked.call_id)]
    assert reader.text == "Let me pay. Paid."


async def test_what_does_no_harm_is_done_again_in_a_turn_of_its_own(
    fleet: Fleet, hand: Hand
) -> None:
    a, b = await node(fleet, "node_a"), await node(fleet, "node_b")
    turn_id = await ask(a, [call("look")], ["never"])
    b.models["m1"] = Rounds([call("look")], ["Seen."])
    reader = await fleet.follow("node_b", turn_id)
    await until(lambda: bool(hand.made and seen(reader, ToolAsked)))
    await taken(fleet, turn_id)
    ending = await reader.ending()
    assert ending.next_turn_id is not None
    hand.go.set()
    assert (await b.ending("m1")).reason == "completed"
    assert [name for name, _ in hand.made] == ["look", "look"]


async def test_nothing_runs_in_a_turn_that_another_node_has(fleet: Fleet, hand: Hand) -> None:
    """Under its fence: whoever stood still for too long finds out before it does anything."""
    a = await node(fleet, "node_a")
    go_on = asyncio.Event()
    turn_id = await ask(a, [go_on, call("greet", name="Ada")], ["never"])
    await until(lambda: turn_id in a.journal._runs)
    moved = turns.update().where(turns.c.id == turn_id).values(owner="node_x", fence=2)
    await a.database.write(lambda rows: rows.execute(moved))
    go_on.set()
    await until(lambda: a.journal.running == 0)
    assert hand.made == []


async def test_what_a_turn_was_parked_with_is_gone_with_its_end(fleet: Fleet) -> None:
    a = await node(fleet, "node_a")
    turn_id = await ask(a, *PAYING)
    asked = await waits_for(a.client("m1"))
    await parked(fleet, turn_id)
    await decide(a, asked.call_id, "approve")
    await a.ending("m1")
    left = await a.database.read(lambda rows: rows.execute(select(parked_turns)).all())
    assert left == []
    assert isinstance(a.tools and a.tools.calls, Calls)
    assert isinstance(a.client("m1").got[-1][1], Ending)

"""Tools that clients call: who is told what, and what a person has to say to it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any

import pytest
from pydantic import Field

from talksy.database import Database
from talksy.errors import (
    ApprovalExpired,
    Forbidden,
    IdempotencyConflict,
    NotFound,
    RateLimited,
    ServerDraining,
    SessionExpired,
    ToolBusy,
    ToolDenied,
    ToolNotFound,
    ValidationError,
)
from talksy.events import Decision, ToolAsked, ToolDecided, ToolDone
from talksy.gateway import Call, Connection, Rules
from talksy.state import Bus, MemoryBus, MemoryHub
from talksy.tools import Caller, Tool, tool
from tests.integration.gateway.rig import House, Line, opened, session_of
from tests.unit.auth.clock import Clock

RULES = Rules(messages=100, reads=20, spread_ms=0)


@dataclass
class Shop:
    """What the tools of a test wait for, and what they did."""

    go: asyncio.Event = field(default_factory=asyncio.Event)
    """What ``hold`` waits for."""
    paid: list[tuple[int, str]] = field(default_factory=list)
    """Each sum that ``pay`` was given, with its key."""

    def tools(self) -> list[Tool]:
        @tool
        async def add(a: Annotated[int, Field(ge=0)], b: int = 1) -> int:
            """Adds two numbers."""
            return a + b

        @tool
        async def hold() -> str:
            """Waits."""
            await self.go.wait()
            return "held"

        @tool(policy="ask")
        async def pay(sum_: int, caller: Caller) -> str:
            """Pays."""
            self.paid.append((sum_, caller.effect_id))
            return f"paid {sum_}"

        @tool(policy="deny")
        async def destroy() -> None:
            """Nobody may."""

        @tool(scope="tools:admin", category="system")
        async def restart() -> str:
            """For some."""
            return "restarted"

        return [add, hold, pay, destroy, restart]


@dataclass
class Bench:
    """A node with tools."""

    house: House
    shop: Shop

    async def call(self, connection: Connection, name: str, **parameters: Any) -> str:
        """Calls a tool and lets it begin; returns the call's id."""
        call_id = parameters.pop("call_id", None)
        called = await self.house.gateway.call(connection, Call(name, parameters, call_id))
        called.begin()
        return called.call_id

    async def decide(
        self, connection: Connection, call_id: str, decision: Decision
    ) -> tuple[Decision, bool]:
        """Decides about a call; returns what counts, and whether somebody was faster."""
        verdict = await self.house.gateway.decide(connection, call_id, decision)
        verdict.begin()
        return verdict.decision, verdict.already


@asynccontextmanager
async def bench_of(
    database: Database,
    shop: Shop | None = None,
    *,
    rules: Rules = RULES,
    bus: Bus | None = None,
    clock: Clock | None = None,
) -> AsyncIterator[Bench]:
    shop = shop or Shop()
    node = opened(
        database, rules=rules, tools=shop.tools(), look_seconds=0.05, bus=bus, clock=clock
    )
    async with node as house:
        yield Bench(house, shop)


@pytest.fixture
async def bench(database: Database) -> AsyncIterator[Bench]:
    async with bench_of(database) as bench:
        yield bench


async def result(line: Line) -> ToolDone:
    done: ToolDone = await line.notice(ToolDone)
    assert len(line.notices(ToolDone)) == 1
    return done


# ---- what is accepted, and what is not


async def test_the_caller_and_its_other_devices_are_told_the_result(bench: Bench) -> None:
    line, connection = await bench.house.join()
    other, _ = await bench.house.join(session_id=session_of(connection))

    call_id = await bench.call(connection, "add", a=2)

    for told in (line, other):
        done = await result(told)
        assert (done.call_id, done.name, done.status, done.result) == (call_id, "add", "done", 3)


async def test_the_caller_is_told_of_its_call_before_the_result(bench: Bench) -> None:
    line, connection = await bench.house.join()
    other, _ = await bench.house.join(session_id=session_of(connection))

    called = await bench.house.gateway.call(connection, Call("add", {"a": 2}, "mine"))

    assert (await result(other)).call_id == called.call_id == "mine"
    assert line.notices(ToolDone) == []
    called.begin()
    assert (await result(line)).result == 3


@pytest.mark.parametrize(
    ("name", "parameters", "error", "paths"),
    [
        ("add", {"a": -1, "c": 1}, ValidationError, ["parameters.a", "parameters.c"]),
        ("add", {}, ValidationError, ["parameters.a"]),
        ("addd", {}, ToolNotFound, []),
        ("destroy", {}, ToolDenied, []),
        ("restart", {}, Forbidden, []),
    ],
)
async def test_what_cannot_be_called_is_refused_and_costs_a_question(
    bench: Bench, name: str, parameters: dict[str, Any], error: Any, paths: list[str]
) -> None:
    _, connection = await bench.house.join()

    for _ in range(RULES.reads):
        with pytest.raises(error) as refused:
            await bench.call(connection, name, **parameters)
        assert [path for path, _ in refused.value.faults] == paths
    with pytest.raises(RateLimited):
        await bench.call(connection, name, **parameters)


async def test_a_call_costs_what_a_message_costs(database: Database) -> None:
    async with bench_of(database, rules=Rules(messages=1)) as bench:
        _, connection = await bench.house.join()
        await bench.call(connection, "add", a=1)

        with pytest.raises(RateLimited, match="messages"):
            await bench.call(connection, "add", a=1)
        with pytest.raises(RateLimited, match="messages"):
            await bench.house.say(connection, "hello")


async def test_there_is_room_for_five_calls_of_a_session(bench: Bench) -> None:
    line, connection = await bench.house.join()
    for _ in range(5):
        await bench.call(connection, "hold")

    with pytest.raises(ToolBusy):
        await bench.call(connection, "add", a=1)
    bench.shop.go.set()
    await line.until(lambda: len(line.notices(ToolDone)) == 5)
    await bench.call(connection, "add", a=1)


async def test_a_call_id_is_one_calls_as_long_as_that_runs(bench: Bench) -> None:
    line, connection = await bench.house.join()
    await bench.call(connection, "hold", call_id="mine")

    with pytest.raises(IdempotencyConflict):
        await bench.call(connection, "add", a=1, call_id="mine")
    bench.shop.go.set()
    await line.notice(ToolDone)
    await bench.call(connection, "add", a=1, call_id="mine")


async def test_somebody_sees_the_tools_of_its_scopes(bench: Bench) -> None:
    _, connection = await bench.house.join()
    names = [known.name for known in bench.house.gateway.tools(connection, None)]

    assert names == ["add", "hold", "pay"]
    assert bench.house.gateway.tools(connection, "system") == []
    assert bench.house.gateway.tool(connection, "pay").policy == "ask"
    with pytest.raises(Forbidden, match="tools:admin"):
        bench.house.gateway.tool(connection, "restart")


async def test_who_was_given_a_scope_has_it_with_the_next_token(bench: Bench) -> None:
    line, connection = await bench.house.join()
    await bench.house.accounts.rescope("ada", add="tools:admin")
    account = await bench.house.accounts.find("ada")
    assert account is not None
    token = bench.house.access.sign(
        account.id, "fam_ada_1", now=bench.house.clock() + 1_000, scope=account.scope
    )

    with pytest.raises(Forbidden):
        await bench.call(connection, "restart")
    await bench.house.gateway.renew(connection, token.text)
    await bench.call(connection, "restart")

    assert (await result(line)).result == "restarted"


# ---- how long a call lives


async def test_a_call_outlives_its_connection(bench: Bench) -> None:
    _, connection = await bench.house.join()
    other, _ = await bench.house.join(session_id=session_of(connection))
    await bench.call(connection, "hold")

    bench.house.gateway.leave(connection)
    bench.shop.go.set()

    assert (await result(other)).result == "held"


async def test_a_call_ends_with_its_session(bench: Bench) -> None:
    line, connection = await bench.house.join()
    await bench.call(connection, "hold")

    await bench.house.gateway.end(connection)

    done = await result(line)
    assert done.status == "failed"
    assert done.error is not None
    assert done.error["code"] == "SESSION_EXPIRED"
    with pytest.raises(SessionExpired):
        await bench.call(connection, "add", a=1)


async def test_a_node_that_stops_waits_for_calls(bench: Bench) -> None:
    line, connection = await bench.house.join()
    await bench.call(connection, "hold")
    drained = asyncio.create_task(bench.house.gateway.drain(5))
    await asyncio.sleep(0)

    with pytest.raises(ServerDraining):
        await bench.call(connection, "add", a=1)
    bench.shop.go.set()
    await drained

    assert (await result(line)).result == "held"


async def test_a_node_that_stops_does_not_wait_for_ever(bench: Bench) -> None:
    line, connection = await bench.house.join()
    await bench.call(connection, "hold")

    await bench.house.gateway.drain(0)

    done = await result(line)
    assert done.error is not None
    assert done.error["code"] == "SERVER_DRAINING"


# ---- what a person decides


async def test_a_call_that_must_be_approved_waits_for_any_device(bench: Bench) -> None:
    line, connection = await bench.house.join()
    other, second = await bench.house.join(session_id=session_of(connection))
    call_id = await bench.call(connection, "pay", sum=5)
    asked: ToolAsked = await other.notice(ToolAsked)

    assert (asked.call_id, asked.arguments) == (call_id, {"sum": 5})
    assert asked.expires_at == bench.house.clock() + 300_000
    assert bench.shop.paid == []
    assert await bench.decide(second, call_id, "approve") == ("approve", False)

    for told in (line, other):
        assert ((await result(told)).call_id, (await result(told)).result) == (call_id, "paid 5")
        assert told.notices(ToolDecided) == [ToolDecided(call_id, "approve")]
    assert bench.shop.paid == [(5, call_id)]


async def test_the_first_decision_counts(bench: Bench) -> None:
    line, connection = await bench.house.join()
    call_id = await bench.call(connection, "pay", sum=5, call_id="mine")

    assert call_id == "mine"
    assert await bench.decide(connection, "mine", "deny") == ("deny", False)
    assert await bench.decide(connection, "mine", "approve") == ("deny", True)

    done = await result(line)
    assert (done.call_id, done.status) == ("mine", "denied")
    assert done.error is not None
    assert done.error["code"] == "TOOL_DENIED"
    assert len(line.notices(ToolDecided)) == 1
    assert bench.shop.paid == []


async def test_two_who_approve_at_once_pay_once(bench: Bench) -> None:
    line, connection = await bench.house.join()
    _, second = await bench.house.join(session_id=session_of(connection))
    call_id = await bench.call(connection, "pay", sum=5)

    verdicts = await asyncio.gather(
        *(bench.decide(each, call_id, "approve") for each in (connection, second))
    )

    assert sorted(verdicts) == [("approve", False), ("approve", True)]
    await result(line)
    assert len(bench.shop.paid) == 1


async def test_what_was_asked_under_an_id_is_all_that_is_decided_under_it(bench: Bench) -> None:
    line, connection = await bench.house.join()
    await bench.call(connection, "pay", sum=5, call_id="mine")
    await bench.decide(connection, "mine", "approve")
    await result(line)

    with pytest.raises(IdempotencyConflict):
        await bench.call(connection, "pay", sum=500, call_id="mine")


async def test_what_nobody_decides_about_expires(bench: Bench) -> None:
    line, connection = await bench.house.join()
    call_id = await bench.call(connection, "pay", sum=5)

    bench.house.clock.now += 300_000

    done = await result(line)
    assert (done.call_id, done.status) == (call_id, "expired")
    with pytest.raises(ApprovalExpired):
        await bench.decide(connection, call_id, "approve")
    assert bench.shop.paid == []


async def test_a_call_is_decided_about_in_its_session_alone(bench: Bench) -> None:
    _, connection = await bench.house.join()
    _, stranger = await bench.house.join("bob")
    call_id = await bench.call(connection, "pay", sum=5)

    for who, which in ((stranger, call_id), (connection, "call_unknown")):
        with pytest.raises(NotFound):
            await bench.decide(who, which, "approve")


async def test_who_comes_back_is_told_what_waits(bench: Bench) -> None:
    _, connection = await bench.house.join()
    await bench.call(connection, "pay", sum=5, call_id="mine")

    line, back = await bench.house.join(session_id=session_of(connection))

    assert (await line.notice(ToolAsked)).call_id == "mine"
    await bench.decide(back, "mine", "approve")
    assert (await result(line)).result == "paid 5"


async def test_what_is_asked_on_one_node_is_decided_on_another(shared_url: str) -> None:
    hub = MemoryHub()
    async with AsyncExitStack() as stack:
        databases = [
            await stack.enter_async_context(Database.open(shared_url, upgrade=False))
            for _ in range(2)
        ]
        near = await stack.enter_async_context(bench_of(databases[0], bus=MemoryBus(hub)))
        far = await stack.enter_async_context(
            bench_of(databases[1], near.shop, bus=MemoryBus(hub), clock=near.house.clock)
        )
        line, connection = await near.house.join()
        other, second = await far.house.join(session_id=session_of(connection))
        call_id = await near.call(connection, "pay", sum=5, call_id="mine")
        assert (await other.notice(ToolAsked)).call_id == call_id

        assert await far.decide(second, call_id, "approve") == ("approve", False)

        for told in (line, other):
            assert (await result(told)).result == "paid 5"
            assert told.notices(ToolDecided) == [ToolDecided("mine", "approve")]
        assert len(near.shop.paid) == 1

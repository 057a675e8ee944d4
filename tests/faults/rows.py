"""The faults: what is broken, how, and what may come of it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from tests.faults.crowd import Plan
from tests.faults.fleet import Fleet
from tests.faults.reader import Habits
from tests.faults.verdict import Verdict
from tests.redis import Watched

Harm = Callable[[Fleet], Awaitable[None]]
"""Does the harm and returns when what could be mended is mended."""

HOP = Habits(hop=50)
LEASE_SECONDS = 10.0
TICK_SECONDS = 0.25
"""So far the log may be behind its writer where nobody else reads."""


@dataclass(frozen=True)
class Row:
    """A fault. The first node is the one that is harmed; it writes every third turn."""

    name: str
    harm: Harm
    wires: bool = False
    """The nodes reach Redis and PostgreSQL through relays."""
    redis: str = "plain"
    """``plain`` forgets when it ends, ``kept`` has an append-only file, ``sentinel`` a replica."""
    cuts: bool = False
    """Turns of the harmed node may end as interrupted."""
    void: float = 0.0
    """So many seconds of their text may be void then."""
    silence: float = 15.0
    """So long a reader may hear nothing. Whoever reads over a Redis that is away waits for it, or
    for the end of the turn."""
    plan: Mapping[str, Any] = field(default_factory=dict)
    """What the clients do otherwise."""
    settings: Mapping[str, Any] = field(default_factory=dict)

    def complaints(self, verdict: Verdict, plan: Plan) -> list[str]:
        """What must not be."""
        found = [
            f"{name} is {count}"
            for name, count in (
                ("lost", verdict.lost),
                ("repeated", verdict.repeated),
                ("wrong", verdict.wrong),
                ("endings other than one", verdict.endings),
                ("endings unlike the history", verdict.unlike),
            )
            if count
        ]
        cut = (
            verdict.cut
            if not self.cuts
            else verdict.cut - set(range(0, plan.turns, len(plan.urls)))
        )
        if cut:
            found.append(f"turns {sorted(cut)} did not complete")
        if verdict.worst_void > self.void * plan.rate:
            found.append(f"{verdict.worst_void} tokens of one reader are void")
        if (longest := max(verdict.silence.values())) > self.silence:
            found.append(f"a reader heard nothing for {longest:.1f} s")
        return found


# ---- the harm


async def nothing(_: Fleet) -> None:
    """As a measure of the rest."""


async def ask_redis(fleet: Fleet, *words: str) -> Any:
    """The primary's answer to a command."""
    return await asyncio.to_thread(fleet.redis.ask, *words)


async def kill_subscriptions(fleet: Fleet) -> None:
    for _ in range(3):
        await ask_redis(fleet, "CLIENT", "KILL", "TYPE", "pubsub")
        await asyncio.sleep(0.7)


async def flush(fleet: Fleet) -> None:
    for _ in range(3):
        await ask_redis(fleet, "FLUSHALL")
        await asyncio.sleep(0.7)


def outage(seconds: float) -> Harm:
    """Redis is away, and then again there."""

    async def harm(fleet: Fleet) -> None:
        await asyncio.to_thread(fleet.redis.crash)
        await asyncio.sleep(seconds)
        await asyncio.to_thread(fleet.redis.start)

    return harm


async def fall_behind(watched: Watched) -> None:
    """For a second the replica gets nothing of what is written."""
    watched.replica.pause()
    await asyncio.to_thread(watched.primary.ask, "CLIENT", "KILL", "TYPE", "replica")
    await asyncio.sleep(1)


async def promote(watched: Watched) -> None:
    """The primary dies; returns when the Sentinel names the replica."""
    await asyncio.to_thread(watched.primary.crash)
    watched.replica.resume()
    await asyncio.to_thread(watched.fail_over)


async def fail_over(fleet: Fleet) -> None:
    assert fleet.watched is not None
    await fall_behind(fleet.watched)
    await promote(fleet.watched)


async def kill(fleet: Fleet) -> None:
    await fleet.nodes[0].kill()


async def freeze(fleet: Fleet) -> None:
    fleet.nodes[0].freeze()
    await asyncio.sleep(15)
    fleet.nodes[0].thaw()


async def flush_and_kill(fleet: Fleet) -> None:
    # Frozen first, so that it cannot say again what Redis forgets.
    fleet.nodes[0].freeze()
    await ask_redis(fleet, "FLUSHALL")
    await kill(fleet)


async def kill_in_outage(fleet: Fleet) -> None:
    await asyncio.to_thread(fleet.redis.crash)
    await asyncio.sleep(1.5)
    await kill(fleet)
    await asyncio.sleep(3)
    await asyncio.to_thread(fleet.redis.start)


async def fail_over_and_kill(fleet: Fleet) -> None:
    assert fleet.watched is not None
    await fall_behind(fleet.watched)
    # Before it can tell the new primary what that one lacks.
    await kill(fleet)
    await promote(fleet.watched)


def part(seconds: float, *, redis: bool = True, database: bool = False, cut: bool = False) -> Harm:
    """The first node reaches nothing of what is named."""

    async def harm(fleet: Fleet) -> None:
        node = fleet.nodes[0]
        async with AsyncExitStack() as stack:
            for relay, chosen in ((node.redis, redis), (node.database, database)):
                if chosen:
                    assert relay is not None
                    await stack.enter_async_context(relay.cut() if cut else relay.black_hole())
            await asyncio.sleep(seconds)

    return harm


async def delay(fleet: Fleet) -> None:
    for node in fleet.nodes:
        assert node.redis is not None
        node.redis.delay = 0.05


async def fill_buffers(fleet: Fleet) -> None:
    """Whoever follows is thrown out as soon as a few events come at once, for three seconds."""
    name = "client-output-buffer-limit"
    before = (await ask_redis(fleet, "CONFIG", "GET", name))[1]
    await ask_redis(fleet, "CONFIG", "SET", name, "pubsub 1024 0 0")
    await asyncio.sleep(3)
    await ask_redis(fleet, "CONFIG", "SET", name, before)


async def everything(fleet: Fleet) -> None:
    await outage(1)(fleet)
    await kill_subscriptions(fleet)
    await flush(fleet)


async def roll(fleet: Fleet) -> None:
    """A deploy: node after node ends and begins anew."""
    for node in fleet.nodes:
        await node.close()
        await node.start()


async def restart_postgres(fleet: Fleet) -> None:
    assert fleet.postgres.daemon is not None
    await asyncio.to_thread(fleet.postgres.daemon.crash)
    await asyncio.to_thread(fleet.postgres.daemon.start)


LONG = {"chars": 900}
CUT_OFF = LEASE_SECONDS + 1

ROWS = (
    Row("none", nothing),
    Row("subscriptions killed", kill_subscriptions),
    Row("Redis away 1 s", outage(1)),
    Row("Redis away 1 s (kept)", outage(1), redis="kept"),
    Row("Redis away 5 s", outage(5)),
    Row("Redis away 5 s (kept)", outage(5), redis="kept"),
    Row("Redis away 30 s", outage(30), silence=31.0),
    Row("Redis away 30 s (kept)", outage(30), redis="kept", silence=31.0),
    Row("FLUSHALL", flush),
    Row("failover", fail_over, redis="sentinel"),
    Row("node killed", kill, cuts=True, void=2 * TICK_SECONDS),
    Row("node frozen 15 s", freeze, cuts=True, void=2 * TICK_SECONDS, silence=30.0),
    Row("FLUSHALL + node killed", flush_and_kill, cuts=True, void=6.0),
    Row("Redis away + node killed", kill_in_outage, cuts=True, void=2.5),
    Row("Redis away + node killed (kept)", kill_in_outage, redis="kept", cuts=True, void=2.5),
    Row("failover + node killed", fail_over_and_kill, redis="sentinel", cuts=True, void=6.0),
    Row("node without Redis 5 s", part(5), wires=True),
    Row("node without Redis 20 s", part(20), wires=True, silence=21.0),
    Row("node cut from Redis 5 s", part(5, cut=True), wires=True),
    Row("node without database 5 s", part(5, redis=False, database=True), wires=True),
    Row(
        "node without database 15 s",
        part(15, redis=False, database=True),
        wires=True,
        cuts=True,
        void=2 * TICK_SECONDS,
    ),
    Row("node cut from database 5 s", part(5, redis=False, database=True, cut=True), wires=True),
    Row("node without both 20 s", part(20, database=True), wires=True, cuts=True, void=CUT_OFF),
    Row("Redis 100 ms away", delay, wires=True),
    Row("output buffers full", fill_buffers, plan=LONG),
    Row(
        "a client that does not read",
        nothing,
        plan={**LONG, "readers": (Habits(), Habits(), Habits(stall=6))},
        settings={"PING_INTERVAL_MS": 2_000, "PING_TIMEOUT_MS": 1_000},
    ),
    Row("hop", nothing, plan={"readers": (HOP, HOP)}),
    Row("hop + Redis in trouble", everything, plan={"readers": (HOP, HOP)}),
    Row("hop + node killed", kill, plan={"readers": (HOP, HOP)}, cuts=True, void=2 * TICK_SECONDS),
    Row(
        "1000 turns + Redis away 5 s",
        outage(5),
        # To begin so many takes a while, in which the first must not come to their end.
        plan={"turns": 1_000, "tokens": 300, "rate": 1},
        settings={"TURN_TIMEOUT_MS": 600_000},
    ),
    Row("rolling restart", roll, plan={"spread": 20.0, "tokens": 250}),
    Row("PostgreSQL restarted", restart_postgres),
)

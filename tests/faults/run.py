"""One fault, from the first server to the verdict."""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tests.faults.crowd import Plan, running_crowd
from tests.faults.fleet import Fleet, running_fleet
from tests.faults.rows import Row, nothing
from tests.faults.verdict import Verdict, judge
from tests.postgres import Postgres
from tests.server import Line

END_SECONDS = 45.0
"""So long after the harm and what is left of the turns every reader must have had its ending."""


@dataclass(frozen=True)
class Load:
    """How much is going on, where a row does not say otherwise."""

    turns: int = 30
    tokens: int = 600
    rate: float = 50
    nodes: int = 3
    at: float = 2.0
    """Seconds after the first token of the last turn that the harm is done."""

    def plan(self, row: Row, urls: list[str]) -> Plan:
        """What the clients of a row do."""
        usual: dict[str, Any] = {"turns": self.turns, "tokens": self.tokens, "rate": self.rate}
        return Plan(urls, **{**usual, **row.plan})


@dataclass
class Outcome:
    """What came of a row."""

    row: Row
    verdict: Verdict
    complaints: list[str]
    errors: Counter[str] = field(default_factory=Counter)
    """What the nodes logged as errors."""
    logs: dict[str, list[Line]] = field(default_factory=dict)


async def run_row(row: Row, load: Load, postgres: Postgres) -> Outcome:
    """Runs a row on a fleet of its own."""
    async with running_fleet(
        postgres, nodes=load.nodes, wires=row.wires, redis=row.redis, **row.settings
    ) as fleet:
        outcome = await harm_fleet(row, load, fleet)
    outcome.logs = {node.url: node.log for node in fleet.nodes}
    for log in outcome.logs.values():
        outcome.errors.update(
            line["event"] for line in log if line["level"] in ("error", "critical")
        )
    return outcome


async def harm_fleet(row: Row, load: Load, fleet: Fleet) -> Outcome:
    """Runs a row on a fleet that stands."""
    plan = load.plan(row, fleet.urls)
    with running_crowd(plan) as crowd:
        await crowd.begun()
        ends = time.monotonic() + plan.tokens / plan.rate + plan.spread
        await asyncio.sleep(load.at)
        await row.harm(fleet)
        healed = time.monotonic()
        left = max(0.0, ends - healed)
        report = await crowd.report(left + END_SECONDS, fleet.alive)
    verdict = judge(plan, report, None if row.harm is nothing else healed)
    return Outcome(row, verdict, row.complaints(verdict, plan))

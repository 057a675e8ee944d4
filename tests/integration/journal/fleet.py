"""Several nodes on one database and one log."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import update

from talksy.database import Database
from talksy.database.calls import Calls
from talksy.database.history import History
from talksy.database.lane import Draft, Lane
from talksy.database.leases import Leases
from talksy.database.rows import TurnRow
from talksy.database.tables import nodes
from talksy.gateway import Workshop
from talksy.journal import Journal, Keep
from talksy.state import Bus, TurnLog
from talksy.tools import Tool, Toolbox
from tests.integration.database.rows import NOW
from tests.integration.journal.rig import UNMERGED, Client, Rig

KEEP = Keep(checkpoint_seconds=0.01, logged_seconds=0.05, sweep_seconds=0.05, found_seconds=0.02)
LEASE_MS = 2_000

Ways = Callable[[str], Awaitable[tuple[TurnLog, Bus]]]
"""Gives a node its own ways to the others."""


@dataclass
class Fleet:
    """Nodes that come and go."""

    url: str
    ways: Ways
    stack: AsyncExitStack
    members: dict[str, Rig] = field(default_factory=dict)
    tools: Sequence[Tool] = ()
    """What the turns of its nodes may call."""
    now: int = NOW + 1

    async def join(self, name: str, *, keep: Keep = KEEP, lease_ms: int = LEASE_MS) -> Rig:
        """A node that serves."""
        rig = await self.member(name, keep=keep, lease_ms=lease_ms)
        await self.stack.enter_async_context(rig.journal.open(rig.compose, rig.announce))
        return rig

    async def member(self, name: str, *, keep: Keep = KEEP, lease_ms: int = LEASE_MS) -> Rig:
        """One that does not serve yet."""
        opening = Database.open(self.url, upgrade=False)
        database = await self.stack.enter_async_context(opening)
        lane = Lane(database, owner=name)
        turn_log, bus = await self.ways(name)
        journal = Journal(
            lane,
            clock=lambda: self.now,
            bounds=UNMERGED,
            keep=keep,
            leases=Leases(database, owner=name, host="here", ms=lease_ms),
            log=turn_log,
            bus=bus,
            calls=(calls := Calls(database, owner=name)),
        )
        rig = Rig(database, Path(), lane, journal, History(database))
        if self.tools:
            rig.tools = Workshop(Toolbox(self.tools), calls, lambda: self.now)
        self.members[name] = rig
        return rig

    async def follow(self, name: str, turn_id: str, after: int = -1) -> Client:
        """A client on this node that reads a turn, wherever it runs."""
        client = Client()
        reader = await self.members[name].journal.read("ses_1", turn_id, after, client.wake)
        assert reader is not None
        client.read(reader)
        return client

    async def bury(self, name: str) -> None:
        """Ends a node's lease, although it may still run."""
        database = next(iter(self.members.values())).database
        over = update(nodes).where(nodes.c.id == name).values(alive_until=0)
        await database.write(lambda rows: rows.execute(over))

    async def row(self, turn_id: str) -> TurnRow:
        """What the database tells of a turn."""
        found = await next(iter(self.members.values())).lane.find("ses_1", turn_id)
        assert found is not None
        return found


async def left_behind(rig: Rig, *said: str) -> list[TurnRow]:
    """Turns of a node that is dead: the first runs, the others wait."""
    drafts = [Draft("ses_1", text, text, streamed=True) for text in said]
    admissions = [await rig.lane.admit(draft, NOW) for draft in drafts]
    return [one.started for one in admissions if one.started is not None]


@asynccontextmanager
async def several(url: str, ways: Ways) -> AsyncIterator[Fleet]:
    """A fleet without nodes."""
    async with AsyncExitStack() as stack:
        yield Fleet(url, ways, stack)

"""A node's journal on a real database, and clients that read it."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from talksy.ai.llm import LanguageModel
from talksy.conversation import Turn
from talksy.database import Database
from talksy.database.history import History
from talksy.database.lane import Admission, Draft, Lane
from talksy.database.rows import TurnRow
from talksy.events import Chunk, Ending, Event
from talksy.gateway import Workshop
from talksy.journal import Again, Bounds, Journal, Keep, Mirror, Reader
from talksy.messages import Prompt
from tests.integration.database.rows import NOW
from tests.unit.conversation.script import Script

KEEP = Keep(checkpoint_seconds=0.002, found_seconds=0.01)
UNMERGED = Bounds(coalesce_ms=0)


class Client:
    """Takes all it is called for, at once."""

    def __init__(self) -> None:
        self.got: list[tuple[int, Event | Ending]] = []
        self.reader: Reader | None = None
        self.ended = asyncio.Event()
        self.on_wake: Callable[[], None] = lambda: None

    def read(self, reader: Reader) -> None:
        self.reader = reader
        self.wake()

    def wake(self) -> None:
        self.on_wake()
        while self.reader is not None and (taken := self.reader.take()):
            self.got.append(taken)
            if isinstance(taken[1], Ending):
                self.ended.set()

    async def ending(self, first: int = 0) -> Ending:
        async with asyncio.timeout(5):
            await self.ended.wait()
        last = self.got[-1][1]
        assert isinstance(last, Ending)
        assert [number for number, _ in self.got] == list(range(first, first + len(self.got)))
        return last

    @property
    def text(self) -> str:
        return "".join(event.content for _, event in self.got if isinstance(event, Chunk))


@dataclass
class Rig:
    """The parts of a node between its lane and its clients."""

    database: Database
    file: Path
    lane: Lane
    journal: Journal
    history: History
    models: dict[str, LanguageModel] = field(default_factory=dict)
    """Who answers a message, by its id."""
    tools: Workshop | None = None
    clients: dict[str, Client] = field(default_factory=dict)
    """The client of each turn, by its message's id: made when the turn is announced."""
    announced: list[str] = field(default_factory=list)
    faults: dict[str, Exception] = field(default_factory=dict)
    """What raises: ``compose`` or ``announce``."""

    async def compose(self, row: TurnRow, again: Again | None = None) -> Turn:
        if fault := self.faults.get("compose"):
            raise fault
        model = self.models.get(row.message_id) or Script("hel", "lo")
        return Turn(
            model,
            [Prompt("user", row.message_id)],
            self.tools.for_turn(row) if self.tools else None,
            parked=again.parked if again else None,
            decided=again.decided if again else None,
        )

    async def announce(self, row: TurnRow, mirror: Mirror) -> None:
        self.announced.append(row.message_id)
        client = self.client(row.message_id)
        client.read(Reader(mirror, -1, client.wake))
        if fault := self.faults.get("announce"):
            raise fault

    def client(self, message_id: str) -> Client:
        return self.clients.setdefault(message_id, Client())

    async def say(
        self,
        message_id: str,
        *steps: Any,
        streamed: bool = True,
        on_busy: Any = "queue",
        session: str = "ses_1",
    ) -> Admission:
        """Admits a message that ``steps`` answer, and starts its turn where it may run."""
        if steps:
            self.models[message_id] = Script(*steps)
        draft = Draft(session, message_id, message_id, streamed=streamed, on_busy=on_busy)
        admission = await self.lane.admit(draft, NOW)
        if admission.started is not None:
            self.journal.start(admission.started)
        return admission

    async def ending(self, message_id: str) -> Ending:
        return await self.client(message_id).ending()

    def row(self, turn_id: str, columns: str = "status, text") -> Any:
        """What another process reads of a turn at this moment; None where there is no such row."""
        with closing(sqlite3.connect(self.file)) as connection:
            query = f"SELECT {columns} FROM turns WHERE id = ?"
            return connection.execute(query, [turn_id]).fetchone()


def node(
    database: Database,
    file: Path,
    *,
    owner: str = "node_a",
    bounds: Bounds = UNMERGED,
    keep: Keep = KEEP,
) -> Rig:
    """A node whose journal is not yet open."""
    lane = Lane(database, owner=owner)
    journal = Journal(lane, clock=lambda: NOW + 1, bounds=bounds, keep=keep)
    return Rig(database, file, lane, journal, History(database))


@asynccontextmanager
async def serving(rig: Rig) -> AsyncIterator[Rig]:
    """Serves, and leaves no task behind."""
    before = asyncio.all_tasks()
    async with rig.journal.open(rig.compose, rig.announce):
        yield rig
    # A fixture is closed by another task than it was opened by.
    assert asyncio.all_tasks() - {asyncio.current_task()} <= before

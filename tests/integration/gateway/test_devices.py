"""Devices that come and go at random while turns run: each number once, and one ending."""

import asyncio
import random
from dataclasses import dataclass, field

import pytest

from talksy.database import Database
from talksy.events import Ending, Event, SessionRestored
from talksy.gateway import Connection
from tests.integration.database.opened import until
from tests.integration.gateway.rig import RULES, House, Line, opened, session_of
from tests.unit.conversation.script import Step

TURNS = 6
DEVICES = 4


@dataclass
class Device:
    """A client that comes back with what it saw last."""

    house: House
    session_id: str
    dice: random.Random
    line: Line | None = None
    connection: Connection | None = None
    got: dict[str, list[tuple[int, Event | Ending]]] = field(default_factory=dict)
    """What it was given of each turn, over all its connections."""

    def note(self) -> None:
        """Writes down what the line brought."""
        if self.line is None:
            return
        for item in self.line.got:
            if isinstance(item, tuple):
                self.got.setdefault(item[0], []).append(item[1:])
        self.line.got.clear()

    def open_turns(self) -> list[tuple[str, int]]:
        return [
            (turn_id, events[-1][0])
            for turn_id, events in self.got.items()
            if not isinstance(events[-1][1], Ending)
        ]

    async def come(self) -> None:
        self.line, self.connection, greeting = await self.house.enter(
            session_id=self.session_id, resume=self.open_turns()
        )
        await self.pause()
        await self.house.gateway.welcome(self.connection, greeting)
        (restored,) = self.line.notices(SessionRestored)
        self.note()
        for active in restored.active:
            if active.turn_id not in self.got:
                await self.resume(active.turn_id)

    async def resume(self, turn_id: str) -> None:
        assert self.connection is not None
        resumed = await self.house.gateway.resume(self.connection, turn_id, -1)
        self.note()
        if not resumed.already:
            # It may have come by itself meanwhile: now it comes again, as was asked.
            self.got.pop(turn_id, None)
        resumed.begin()

    def go(self) -> None:
        assert self.connection is not None
        self.note()
        self.house.gateway.leave(self.connection)
        self.line = self.connection = None

    async def pause(self) -> None:
        for _ in range(self.dice.randrange(12)):
            await asyncio.sleep(0)

    async def wander(self, over: asyncio.Event) -> None:
        while not over.is_set():
            await self.come()
            await self.pause()
            await asyncio.sleep(self.dice.random() / 200)
            self.go()
            await self.pause()
        await self.come()


def script(dice: random.Random) -> list[Step]:
    return [f"{number} " for number in range(dice.randrange(1, 40))]


async def talk(house: House, connection: Connection, dice: random.Random) -> list[str]:
    """Says a few things, some of which are cancelled."""
    turns = []
    for number in range(TURNS):
        house.cast.play(f"m{number}", *script(dice), asyncio.Event(), *script(dice))
        turns.append(await house.say(connection, f"m{number}", streamed=dice.random() < 0.8))
        await asyncio.sleep(dice.random() / 100)
        if dice.random() < 0.5:
            await house.gateway.cancel(connection, turns[dice.randrange(len(turns))])
        else:
            await house.gateway.cancel(connection, None)

    def over() -> bool:
        for mirror in house.journal.of(session_of(connection)):
            house.journal.halt(mirror.turn_id, "cancelled")
        return not house.journal.running

    await until(over)
    return turns


@pytest.mark.parametrize("seed", range(6))
async def test_each_device_gets_each_number_once_and_one_ending(
    database: Database, seed: int
) -> None:
    dice = random.Random(seed)
    async with opened(database, rules=RULES) as house:
        line, sender = await house.join()
        over = asyncio.Event()
        devices = [
            Device(house, session_of(sender), random.Random(dice.random())) for _ in range(DEVICES)
        ]
        wandering = [asyncio.create_task(device.wander(over)) for device in devices]
        turns = await talk(house, sender, dice)
        over.set()
        await asyncio.gather(*wandering)
        for turn_id in turns:
            await line.ending(turn_id)
            whole = line.events(turn_id)
            for device in devices:
                device.note()
                events = device.got.get(turn_id, [])
                assert [number for number, _ in events] == list(range(len(events)))
                if events:
                    assert isinstance(events[-1][1], Ending)
                    assert [event for _, event in events[:-1]] == [
                        event for _, event in whole[: len(events) - 1]
                    ]
                assert sum(isinstance(event, Ending) for _, event in events) <= 1
        for mirror in house.journal._mirrors.values():
            assert not mirror.readers, "who went is forgotten"

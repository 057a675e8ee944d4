"""Turns that wait for a person: stored with all that is needed to go on with them, on any node."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import orjson
import structlog

from talksy.conversation import Parked
from talksy.database.calls import Calls
from talksy.database.lane import Lane
from talksy.database.parking import Asked, Halt
from talksy.database.rows import TurnRow, Woken
from talksy.events import Event, ToolStatus
from talksy.journal.follow import Follower
from talksy.journal.lines import event_of, line_of
from talksy.journal.mirror import Mirror
from talksy.journal.run import Run

log = structlog.get_logger(__name__)

VERSION = 1
PAUSE = 0.2
"""Seconds until a turn that could not be stored is tried again."""
SWEEP_MS = 3_600_000
"""So often what was called long ago is erased."""


@dataclass(frozen=True, slots=True)
class Again:
    """A turn that goes on where it stood."""

    parked: Parked
    events: Sequence[Event] = ()
    """All that was given before."""
    decided: Mapping[str, ToolStatus | None] = field(default_factory=dict)
    """How the calls ended that waited, None for those that may run now."""


def halt(turn: TurnRow, parked: Parked, events: Sequence[Event], *, text: str, chunks: int) -> Halt:
    """What is stored of a turn that waits."""
    state = {
        "version": VERSION,
        "events": [line_of(event).decode() for event in events],
        "turn": parked.data(),
    }
    calls = [
        Asked(each.call.id, each.call.name, each.call.arguments or {}, each.expires_at)
        for each in parked.waiting
    ]
    return Halt(turn, orjson.dumps(state), calls, text, len(events), chunks)


def again(woken: Woken) -> Again:
    """What ``halt`` was given, and what was decided since. Raises ``ValueError``."""
    state = orjson.loads(woken.state)
    if state["version"] != VERSION:
        raise ValueError("this turn was parked by another version")
    parked = Parked.of(state["turn"])
    decided: dict[str, ToolStatus | None] = {}
    for each in parked.waiting:
        match woken.calls.get(each.call.id):
            case "approved":
                decided[each.call.id] = None
            case "denied":
                decided[each.call.id] = "denied"
            case _:
                decided[each.call.id] = "expired"
    return Again(parked, [event_of(line) for line in state["events"]], decided)


class Yard:
    """The turns that wait, as far as this node knows of them."""

    def __init__(
        self,
        lane: Lane,
        calls: Calls | None,
        follower: Follower,
        *,
        clock: Callable[[], int],
        alone: bool,
    ) -> None:
        """``alone``: no other node can go on with them."""
        self._lane = lane
        self._calls = calls
        self._follower = follower
        self._clock = clock
        self._alone = alone
        self._swept_at = 0
        self._mirrors: dict[str, Mirror] = {}
        """What is read here, where nobody else can go on with it; else it is followed."""

    @property
    def bytes(self) -> int:
        """About what they take in memory."""
        return sum(mirror.bytes for mirror in self._mirrors.values())

    def mirror(self, turn_id: str) -> Mirror | None:
        """What is in memory of a turn that waits, where this node is alone."""
        return self._mirrors.get(turn_id)

    def leave(self, turn_id: str) -> Mirror | None:
        """The mirror of a turn that is written here from now on, if there is one."""
        return self._mirrors.pop(turn_id, None) or self._follower.release(turn_id)

    def enter(self, mirror: Mirror) -> None:
        """Nobody writes this turn any more, until somebody has decided."""
        if self._alone:
            self._mirrors[mirror.turn_id] = mirror
        else:
            self._follower.keep(mirror)

    async def park(self, run: Run, parked: Parked) -> Literal["parked", "lost", "wanted"]:
        """Lets a turn wait, unless it is another node's or its end is ``wanted``."""
        row = run.row
        # Nobody is shown what is asked for before it can be decided.
        events = [*run.given, *(each.asked for each in parked.waiting)]
        state = halt(row, parked, events, text=run.text, chunks=run.chunks)
        while not (run.lost or run.stopped):
            try:
                outcome = await self._lane.park(state, self._clock())
            except Exception as error:  # noqa: BLE001 - the next attempt may succeed
                log.warning("parking_waits", error=type(error).__name__, turn_id=row.id)
                await asyncio.sleep(PAUSE)
                continue
            if outcome != "wanted":
                return outcome
            if found := await self._lane.find(row.session_id, row.id):
                run.stop(found.wanted or "interrupted")
        return "lost" if run.lost else "wanted"

    async def open(self, row: TurnRow) -> Mirror | None:
        """The events of a turn that waits: whatever the log has forgotten, its row has not. None
        where it waits no longer, but perhaps goes on here.
        """
        woken = (await self._lane.awake(row)).woken
        if woken is None:
            return None
        if self._alone:
            mirror = self._mirrors.setdefault(row.id, Mirror(row))
        else:
            mirror = self._follower.open(row)
        if missing := again(woken).events[len(mirror.events) :]:
            mirror.extend(missing)
        return mirror

    async def late(self) -> Sequence[TurnRow]:
        """Turns that nobody decided about in time: they go on here, without what they asked for."""
        if self._calls is None:
            return []
        if (now := self._clock()) - self._swept_at > SWEEP_MS:
            self._swept_at = now
            await self._calls.forget(now)
        late = await self._calls.late(now)
        woken = [await self._calls.expire(*each) for each in late]
        return [row for row in woken if row is not None]

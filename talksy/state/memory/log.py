"""The events of turns on their way to other nodes of the same process."""

from collections.abc import Callable, Sequence

from talksy.state.base import READ_EVENTS, Append, Appended, Nudge, Place
from talksy.state.memory.hub import Events, MemoryHub


class MemoryLog:
    """The ``TurnLog`` of one node; ``another`` is that of the next, with the same events."""

    complete = True

    def __init__(self, hub: MemoryHub | None = None) -> None:
        """What is in a log is in all that share its ``hub``."""
        self._hub = MemoryHub() if hub is None else hub

    def another(self) -> "MemoryLog":
        """The log as another node has it."""
        return MemoryLog(self._hub)

    async def append(self, appends: Sequence[Append]) -> Sequence[Appended]:
        return [self._append(append) for append in appends]

    def _append(self, append: Append) -> Appended:
        session_id, turn_id = append.session_id, append.turn_id
        events = self._hub.find(session_id, turn_id) or Events(append.fence, 0)
        have = len(events.lines)
        if events.fence > append.fence:
            return Appended(-1, 0)
        events.fence = append.fence
        if events.ended or append.first > have:
            return Appended(have, 0)
        new = tuple(append.events[have - append.first :])
        events.lines += new
        events.ended = append.final and bool(new)
        self._hub.keep(session_id, turn_id, events)
        if not new:
            return Appended(have, 0)
        self._hub.nudges.tell(session_id, Nudge(turn_id, have, new))
        return Appended(len(events.lines), self._hub.nudges.count(session_id))

    async def seal(self, session_id: str, turn_id: str, fence: int) -> Sequence[bytes]:
        events = self._hub.find(session_id, turn_id) or Events(fence, 0)
        events.fence = max(events.fence, fence)
        self._hub.keep(session_id, turn_id, events)
        return tuple(events.lines)

    async def read(self, places: Sequence[Place]) -> Sequence[Sequence[bytes] | None]:
        return [self._read(place) for place in places]

    def _read(self, place: Place) -> Sequence[bytes] | None:
        events = self._hub.find(place.session_id, place.turn_id)
        if events is None or len(events.lines) < place.first:
            return None
        return tuple(events.lines[place.first : place.first + READ_EVENTS])

    async def follow(self, session_id: str, hear: Callable[[Nudge], None]) -> None:
        self._hub.nudges.add(session_id, self, hear)

    def unfollow(self, session_id: str) -> None:
        self._hub.nudges.remove(session_id, self)

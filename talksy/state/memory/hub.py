"""Where the nodes of one process meet."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from talksy.state.base import ENDED_MS, RUNNING_MS, Clock, Nudge
from talksy.state.memory.windows import SWEEP, monotonic_ms

News = TypeVar("News")


class Ears(Generic[News]):
    """Who listens to what: one call for each node and name."""

    def __init__(self) -> None:
        self._ears: dict[str, dict[object, Callable[[News], None]]] = {}

    def count(self, name: str) -> int:
        """How many nodes listen."""
        return len(self._ears.get(name, ()))

    def add(self, name: str, node: object, hear: Callable[[News], None]) -> None:
        """``node`` listens; what it listened with before is replaced."""
        self._ears.setdefault(name, {})[node] = hear

    def remove(self, name: str, node: object) -> None:
        """It listens no longer."""
        ears = self._ears.get(name, {})
        ears.pop(node, None)
        if not ears:
            self._ears.pop(name, None)

    def tell(self, name: str, news: News) -> None:
        """Calls all that listen, soon: never out of the teller's own call."""
        loop = asyncio.get_running_loop()
        for node in self._ears.get(name, ()):
            loop.call_soon(self._tell, name, node, news)

    def _tell(self, name: str, node: object, news: News) -> None:
        if hear := self._ears.get(name, {}).get(node):
            hear(news)


@dataclass(slots=True)
class Events:
    """The log of one turn."""

    fence: int
    gone_at: int
    """When it is forgotten, by the hub's clock."""
    ended: bool = False
    lines: list[bytes] = field(default_factory=list)


class MemoryHub:
    """What the logs and buses of several nodes in one process have in common."""

    def __init__(self, clock: Clock = monotonic_ms) -> None:
        """``clock`` says when a log is forgotten and must not step back."""
        self._clock = clock
        self._logs: OrderedDict[tuple[str, str], Events] = OrderedDict()
        self.nudges: Ears[Nudge] = Ears()
        """By the session's id."""
        self.words: Ears[str] = Ears()
        """By the channel."""

    def __len__(self) -> int:
        """Logs in memory."""
        return len(self._logs)

    def find(self, session_id: str, turn_id: str) -> Events | None:
        """The log of a turn, unless it is forgotten."""
        events = self._logs.get((session_id, turn_id))
        return events if events is not None and events.gone_at > self._clock() else None

    def keep(self, session_id: str, turn_id: str, events: Events) -> None:
        """Keeps a log for its time from now on, and forgets what others have outlived theirs."""
        now = self._clock()
        events.gone_at = now + (ENDED_MS if events.ended else RUNNING_MS)
        for _ in range(min(SWEEP, len(self._logs))):
            place, other = self._logs.popitem(last=False)
            if other.gone_at > now:
                self._logs[place] = other
        self._logs[session_id, turn_id] = events

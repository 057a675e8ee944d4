"""Merges deltas that come close together into one chunk."""

from collections.abc import Callable

from talksy.messages import size
from talksy.wheel import Wheel


class Merge:
    """Gives text on at once after a pause, else each ``ms`` milliseconds or ``length`` bytes.

    At once is in the next turn of the loop, so that what comes in the same turn goes with it. When
    the model stalls, what it said already is given on: the time is that of ``wheel``, which turns
    for all answers of a node at once. With ``ms`` or ``length`` 0 each delta is given on alone.
    """

    __slots__ = ("_give", "_held", "_length", "_most", "_seconds", "_wheel", "due")

    def __init__(self, give: Callable[[str], None], ms: int, length: int, wheel: Wheel) -> None:
        self._give = give
        self._seconds = ms / 1000
        self._most = length if ms else 0
        self._held: list[str] = []
        self._length = 0
        self._wheel = wheel
        self.due = 0

    def push(self, text: str) -> None:
        """Takes the next delta."""
        if not self._most:
            self._give(text)
            return
        self._held.append(text)
        self._length += len(text) if text.isascii() else size(text)
        if self._length >= self._most:
            self.expire()
        elif not self.due:
            self._wheel.put_next(self)

    def close(self) -> None:
        """Gives on what is held: what is pushed next does not wait."""
        self._wheel.take_off(self)
        self._empty()

    def drop(self) -> None:
        """Forgets what is held."""
        self._held.clear()
        self._length = 0

    def expire(self) -> None:
        """Gives on what is held and begins the next wait; without anything held, waits end."""
        self._wheel.take_off(self)
        if self._empty():
            self._wheel.put(self, self._seconds)

    def _empty(self) -> bool:
        if not self._held:
            return False
        text = "".join(self._held)
        self.drop()
        self._give(text)
        return True

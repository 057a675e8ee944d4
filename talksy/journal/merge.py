"""Merges deltas that come close together into one chunk."""

import asyncio
from collections.abc import Callable

from talksy.messages import size


class Merge:
    """Gives text on at once after a pause, else each ``ms`` milliseconds or ``length`` bytes.

    The timer is a real one: when the model stalls, what it said already is given on. With ``ms``
    or ``length`` 0 each delta is given on alone.
    """

    def __init__(self, give: Callable[[str], None], ms: int, length: int) -> None:
        self._give = give
        self._seconds = ms / 1000
        self._most = length if ms else 0
        self._held: list[str] = []
        self._length = 0
        self._timer: asyncio.TimerHandle | None = None

    def push(self, text: str) -> None:
        """Takes the next delta."""
        if not self._most:
            self._give(text)
            return
        self._held.append(text)
        self._length += size(text)
        if self._timer is None or self._length >= self._most:
            self._pass()

    def close(self) -> None:
        """Gives on what is held; nothing may be pushed afterwards."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._empty()

    def drop(self) -> None:
        """Forgets what is held."""
        self._held.clear()
        self._length = 0

    def _empty(self) -> bool:
        if not self._held:
            return False
        text = "".join(self._held)
        self.drop()
        self._give(text)
        return True

    def _pass(self) -> None:
        """Gives on what is held and begins the next wait; without anything held, waits end."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._empty():
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self._pass)

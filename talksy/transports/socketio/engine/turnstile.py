"""Fairness between those who come and those who are there."""

import asyncio
from collections import deque
from collections.abc import Callable


class Turnstile:
    """Lets so many pass in one turn of the loop; the others follow in the next, in their order."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._left = most
        self._line: deque[Callable[[], None]] = deque()
        self._turning = False

    def enter(self, call: Callable[[], None]) -> None:
        """Calls it now, or when its turn has come."""
        self._line.append(call)
        self._pass()

    def _pass(self) -> None:
        if not self._turning:
            self._turning = True
            asyncio.get_running_loop().call_soon(self._turn)
        while self._left and self._line:
            self._left -= 1
            self._line.popleft()()

    def _turn(self) -> None:
        self._turning, self._left = False, self._most
        if self._line:
            self._pass()

"""A time limit for one wait after the other that costs each next to nothing."""

import asyncio
from types import TracebackType
from typing import Self


class Patience:
    """Raises ``TimeoutError`` from a block one of whose waits took longer than ``seconds``.

    The block begins with a wait; ``rest`` ends it, ``begin`` begins the next one. All of it is one
    task's. ``asyncio.timeout`` around each wait sets a timer and cancels it each time, 4 µs for
    each token of an answer. Here one timer runs on, and when it rings looks whether anybody has
    waited that long.
    """

    def __init__(self, seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._clock = self._loop.time
        self._seconds = seconds
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self._waiting = False
        self._deadline = 0.0
        self._rang = False

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        if self._task is not None:
            self._cancelling = self._task.cancelling()
        self.begin()
        return self

    def begin(self) -> None:
        """The next wait begins."""
        self._deadline = self._clock() + self._seconds
        self._waiting = True
        if self._timer is None:
            self._timer = self._loop.call_at(self._deadline, self._ring)

    def rest(self, limit: float) -> None:
        """The wait is over; ``limit`` is how many seconds the next ones may take."""
        self._waiting = False
        if limit != self._seconds:
            self._seconds = limit
            self._stop()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        task, self._task = self._task, None
        self._waiting = False
        self._stop()
        if not self._rang or task is None:
            return
        # Whoever cancels the task as well is heard, and not we.
        if task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ring(self) -> None:
        self._timer = None
        if self._task is None or not self._waiting:
            return
        if self._clock() < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._ring)
        else:
            self._rang = True
            self._task.cancel()

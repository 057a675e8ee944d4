"""A loop whose clock leaps ahead, so that a day is heard in minutes."""

import asyncio

from tests.unit.auth.clock import Clock

EPOCH_MS = 1_700_000_000_000


class LeapingLoop(asyncio.SelectorEventLoop):
    """Time passes by itself, as for any loop; ``leap`` makes more of it pass at once."""

    def __init__(self) -> None:
        super().__init__()
        self._leapt = 0.0

    def time(self) -> float:
        """As of any loop."""
        return super().time() + self._leapt

    def leap(self, seconds: float) -> None:
        """So much has passed: what was to come meanwhile comes when the loop is next run."""
        self._leapt += seconds

    def timers(self) -> int:
        """How many callbacks are to come."""
        return sum(not timer.cancelled() for timer in self._scheduled)  # type: ignore[attr-defined]


class DayClock(Clock):
    """The time of day, by the loop's clock."""

    def __init__(self, loop: LeapingLoop) -> None:
        super().__init__()
        self._loop = loop
        self._began = loop.time()

    def __call__(self) -> int:
        return EPOCH_MS + round(1000 * (self._loop.time() - self._began))

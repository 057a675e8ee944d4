"""One timer for the many waits of a node's sockets: pings, pongs, time limits."""

import asyncio
from typing import Protocol

import structlog

log = structlog.get_logger(__name__)


class Timed(Protocol):
    """What waits on a wheel: for one moment at a time."""

    due: int
    """The tick at which it is called; what is set here again takes it off an earlier one."""

    def expire(self) -> None:
        """Its time has come."""


class Wheel:
    """Calls those whose time has come, up to one ``grain`` (seconds) late.

    Putting on is a list's append, taking off a number's change: no timer each, nothing to cancel.
    """

    def __init__(self, grain: float) -> None:
        self.grain = grain
        self._ticks: dict[int, list[Timed]] = {}
        self._tick = 0
        self._epoch = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def now(self) -> float:
        """The loop's clock, in seconds."""
        loop = self._loop = self._loop or asyncio.get_running_loop()
        return loop.time()

    def put(self, timed: Timed, seconds: float) -> None:
        """Calls ``timed`` in so many seconds, and not before if it waited already."""
        moment = self.now()
        if self._timer is None:
            self._epoch = moment - self._tick * self.grain
            self._arm()
        now = (moment - self._epoch) / self.grain
        timed.due = max(self._tick, int(now + seconds / self.grain)) + 1
        self._ticks.setdefault(timed.due, []).append(timed)

    def take_off(self, timed: Timed) -> None:
        """It waits for nothing any more."""
        timed.due = 0

    def close(self) -> None:
        """Nobody is called any more."""
        self._ticks.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_at(self._epoch + (self._tick + 1) * self.grain, self._turn)

    def _turn(self) -> None:
        now = int((self.now() - self._epoch) / self.grain)
        while self._tick < now:
            self._tick += 1
            for timed in self._ticks.pop(self._tick, ()):
                if timed.due == self._tick:
                    self._call(timed)
        if self._ticks:
            self._arm()
        else:
            self._timer = None

    def _call(self, timed: Timed) -> None:
        timed.due = 0
        try:
            timed.expire()
        except Exception:
            log.exception("timer_failed")

"""One timer for the many waits of a node's sockets: pings, pongs, time limits."""

import asyncio
from typing import Protocol

import structlog

log = structlog.get_logger(__name__)


_NEXT = -1
"""The tick of what is called in the next turn of the loop."""


class Timed(Protocol):
    """What waits on a wheel: for one moment at a time."""

    due: int
    """The tick at which it is called; what is set here again takes it off an earlier one."""

    def expire(self) -> None:
        """Its time has come."""


class _Nap:
    """Somebody who sleeps."""

    __slots__ = ("due", "over")

    def __init__(self, over: "asyncio.Future[None]") -> None:
        self.due = 0
        self.over = over

    def expire(self) -> None:
        if not self.over.done():
            self.over.set_result(None)


class Wheel:
    """Calls those whose time has come, up to one ``grain`` (seconds) late.

    Putting on is a list's append, taking off a number's change: no timer each, nothing to cancel.
    """

    def __init__(self, grain: float) -> None:
        self.grain = grain
        self._ticks: dict[int, list[Timed]] = {}
        self._soon: list[Timed] = []
        self._tick = 0
        self._armed = 0
        """The tick that the timer is set for: the first for which somebody waits."""
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
        now = (moment - self._epoch) / self.grain
        timed.due = due = max(self._tick, int(now + seconds / self.grain)) + 1
        self._ticks.setdefault(due, []).append(timed)
        if self._timer is None or due < self._armed:
            self._arm(due)

    def put_next(self, timed: Timed) -> None:
        """Calls ``timed`` in the next turn of the loop, and not when it waited for before."""
        timed.due = _NEXT
        if not self._soon:
            loop = self._loop = self._loop or asyncio.get_running_loop()
            loop.call_soon(self._next)
        self._soon.append(timed)

    async def sleep(self, seconds: float) -> None:
        """Returns after so many seconds, or up to one grain later."""
        loop = self._loop = self._loop or asyncio.get_running_loop()
        nap = _Nap(loop.create_future())
        self.put(nap, seconds)
        try:
            await nap.over
        finally:
            nap.due = 0

    def take_off(self, timed: Timed) -> None:
        """It waits for nothing any more."""
        timed.due = 0

    def close(self) -> None:
        """Nobody is called any more."""
        self._ticks.clear()
        self._soon.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _next(self) -> None:
        soon, self._soon = self._soon, []
        for timed in soon:
            if timed.due == _NEXT:
                self._call(timed)

    def _arm(self, tick: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        loop = self._loop = self._loop or asyncio.get_running_loop()
        self._armed = tick
        self._timer = loop.call_at(self._epoch + tick * self.grain, self._turn)

    def _turn(self) -> None:
        self._armed = 0  # whoever is put on meanwhile is looked at below
        now = int((self.now() - self._epoch) / self.grain)
        for tick in sorted(tick for tick in self._ticks if tick <= now):
            self._tick = tick
            for timed in self._ticks.pop(tick, ()):
                if timed.due == tick:
                    self._call(timed)
        self._tick = max(self._tick, now)
        if self._ticks:
            self._arm(min(self._ticks))
        else:
            self._timer = None

    def _call(self, timed: Timed) -> None:
        timed.due = 0
        try:
            timed.expire()
        except Exception:
            log.exception("timer_failed")

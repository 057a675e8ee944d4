"""Sliding windows of a single node: they are as old as the process."""

import time
from collections import OrderedDict
from dataclasses import dataclass, field
from itertools import accumulate

from talksy.state.base import Clock, Verdict

SWEEP = 2
"""Keys looked at after each hit. A hit adds at most one, so the sweep always gains on them."""


def monotonic_ms() -> int:
    """A clock that no correction of the time of day moves."""
    return time.monotonic_ns() // 1_000_000


def epoch_ms() -> int:
    """The time of day."""
    return time.time_ns() // 1_000_000


@dataclass(slots=True)
class _Log:
    """What was taken under one key, oldest first, as (moment, cost)."""

    window_ms: int
    held: int = 0
    # No deque: an empty one takes 600 bytes, and most keys have a hit or two.
    hits: list[tuple[int, int]] = field(default_factory=list)

    def forget(self, now: int) -> None:
        gone = 0
        for at, cost in self.hits:
            if at > now - self.window_ms:
                break
            self.held -= cost
            gone += 1
        if gone:
            del self.hits[:gone]

    def take(self, now: int, cost: int) -> None:
        self.hits.append((now, cost))
        self.held += cost

    def give_back(self, cost: int) -> None:
        while cost and self.hits:
            at, taken = self.hits.pop()
            self.held -= min(cost, taken)
            if taken > cost:
                self.hits.append((at, taken - cost))
            cost -= min(cost, taken)

    def leaves(self, cost: int) -> int:
        """When the oldest ``cost`` of what is held has left, on the window's clock."""
        sums = accumulate(taken for _, taken in self.hits)
        moments = (at for (at, _), left in zip(self.hits, sums, strict=True) if left >= cost)
        return next(moments) + self.window_ms


class MemoryWindows:
    """Sliding window logs: every hit is kept until it leaves its window, so none is approximated.

    A key costs as many entries as its limit at most, and is forgotten once it is empty: each hit
    looks at a few keys in turn, so there is no background task.
    """

    def __init__(self, clock: Clock = monotonic_ms, epoch: Clock = epoch_ms) -> None:
        """``clock`` measures the windows and must not step back; ``epoch`` is for ``reset_at``."""
        self._clock = clock
        self._epoch = epoch
        self._logs: OrderedDict[str, _Log] = OrderedDict()

    def __len__(self) -> int:
        """Keys in memory."""
        return len(self._logs)

    async def hit(self, key: str, limit: int, window_ms: int, cost: int = 1) -> Verdict:
        if limit < 0 or cost < 0 or window_ms < 1:
            raise ValueError("a limit and a cost are at least 0, a window at least 1 ms")
        now = self._clock()
        log = self._logs.get(key)
        if log is None:
            log = _Log(window_ms)
        log.forget(now)
        asked = max(cost, 1)
        allowed = log.held + asked <= limit
        if allowed and cost:
            log.take(now, cost)
            self._logs[key] = log
        self._sweep(now)
        return self._verdict(log, now, limit, 0 if allowed else asked)

    async def refund(self, key: str, cost: int = 1) -> None:
        if cost < 0:
            raise ValueError("a refund is at least 0")
        if log := self._logs.get(key):
            log.give_back(cost)
            if not log.hits:
                del self._logs[key]

    def _verdict(self, log: _Log, now: int, limit: int, refused: int) -> Verdict:
        if refused > limit:
            wait = log.window_ms
        elif refused:
            wait = log.leaves(log.held + refused - limit) - now
        elif log.hits:
            wait = log.hits[0][0] + log.window_ms - now
        else:
            wait = 0
        return Verdict(
            allowed=not refused,
            limit=limit,
            remaining=max(0, limit - log.held),
            reset_at=self._epoch() + wait,
            retry_after=wait / 1000 if refused else 0.0,
        )

    def _sweep(self, now: int) -> None:
        for _ in range(min(SWEEP, len(self._logs))):
            key, log = self._logs.popitem(last=False)
            log.forget(now)
            if log.hits:
                self._logs[key] = log

"""Sliding windows that all nodes share, by the clock of Redis."""

from collections.abc import Callable

from talksy.state.base import Away, Clock, Verdict, Windows
from talksy.state.redis.client import Client
from talksy.state.redis.scripts import HIT, PREFIX, REFUND

SPARE_MS = 5_000
"""So much longer than its window a key is kept: the clock of a replica may be ahead."""


class RedisWindows:
    """``Windows`` in which each hit is one atomic step in Redis.

    While Redis is away each node counts for itself, by its share of the limit.
    """

    def __init__(
        self,
        client: Client,
        local: Windows,
        *,
        nodes: Callable[[], int],
        clock: Clock | None = None,
    ) -> None:
        """``local`` counts while Redis is away, and ``nodes`` says among how many to share.
        ``clock`` gives milliseconds since the epoch in the place of the clock of Redis.
        """
        self._client = client
        self._local = local
        self._nodes = nodes
        self._clock = clock
        self.local = False
        """Whether this node counts for itself."""
        self.local_hits = 0

    async def hit(self, key: str, limit: int, window_ms: int, cost: int = 1) -> Verdict:
        if limit < 0 or cost < 0 or window_ms < 1:
            raise ValueError("a limit and a cost are at least 0, a window at least 1 ms")
        now = "" if self._clock is None else self._clock()
        try:
            allowed, held, now, wait = await self._client.call(
                HIT, _key(key), limit, window_ms, cost, window_ms + SPARE_MS, now
            )
        except Away:
            self.local = True
            self.local_hits += 1
            share = max(1, limit // max(1, self._nodes())) if limit else 0
            return await self._local.hit(key, share, window_ms, cost)
        self.local = False
        return Verdict(
            allowed=bool(allowed),
            limit=limit,
            remaining=max(0, limit - held),
            reset_at=now + wait,
            retry_after=0.0 if allowed else wait / 1000,
        )

    async def refund(self, key: str, cost: int = 1) -> None:
        if cost < 0:
            raise ValueError("a refund is at least 0")
        try:
            await self._client.call(REFUND, _key(key), cost)
        except Away:
            await self._local.refund(key, cost)


def _key(key: str) -> str:
    return f"{PREFIX}:w:{key}"

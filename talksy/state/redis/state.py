"""All that a node has in Redis, opened together."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from talksy.state.memory import MemorySlots, MemoryWindows
from talksy.state.redis.bus import RedisBus
from talksy.state.redis.client import Client
from talksy.state.redis.listener import Listener
from talksy.state.redis.log import RedisLog
from talksy.state.redis.scripts import PREFIX
from talksy.state.redis.slots import RedisSlots
from talksy.state.redis.standing import Standing, inspect
from talksy.state.redis.windows import RedisWindows

START_SECONDS = 1.0
"""How long a start waits for Redis before it goes on without."""


@dataclass(frozen=True, slots=True)
class RedisStats:
    """How a node stands with Redis."""

    away_seconds: float | None
    """For how long it has not served; None where it does, as of the last second."""
    latency: float | None
    """Seconds that it took to answer last."""
    hears: bool
    """Whether the subscriptions are answered."""
    deaf: int
    """How often a subscription was found dead."""
    rebuilt: int
    """How often one had to be made anew."""
    channels: int
    """What is listened to."""
    commands: int
    failures: int
    """How often commands were not answered, or with an error."""
    local_hits: int
    """What was counted on this node alone, since the windows were away."""
    local_slots: int
    """The same of slots."""


class RedisState:
    """The log, the bus, the windows and the slots of one node."""

    def __init__(self, client: Client, listener: Listener, nodes: Callable[[], int]) -> None:
        self.client = client
        self._listener = listener
        self.log = RedisLog(client, listener)
        self.bus = RedisBus(client, listener)
        self.outside = RedisBus(client, listener, prefix="")
        """Channels that are not ours, by the names they have."""
        self.windows = RedisWindows(client, MemoryWindows(), nodes=nodes)
        self.slots = RedisSlots(client, MemorySlots(), nodes=nodes)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, url: str, *, node: str, nodes: Callable[[], int] = lambda: 1
    ) -> AsyncIterator["RedisState"]:
        """The state of ``node``; also while Redis is away: it is tried until it answers."""
        async with (
            Client(url) as client,
            Listener(client, probe=f"{PREFIX}:p:{node}") as listener,
        ):
            await listener.settle(START_SECONDS)
            state = cls(client, listener, nodes)
            async with state.slots:
                yield state

    async def inspect(self) -> Standing:
        """What can be told of it. Raises ``Away``, and ``Unfit`` where it cannot do its part."""
        return await inspect(self.client)

    def stats(self) -> RedisStats:
        """How it stands."""
        return RedisStats(
            away_seconds=self.client.away_seconds,
            latency=self.client.latency,
            hears=self._listener.up,
            deaf=self._listener.deaf,
            rebuilt=self._listener.rebuilt,
            channels=self._listener.channels,
            commands=self.client.commands,
            failures=self.client.failures,
            local_hits=self.windows.local_hits,
            local_slots=self.slots.local_takes,
        )

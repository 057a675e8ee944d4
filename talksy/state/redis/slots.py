"""Slots that all nodes share, by the clock of Redis."""

import asyncio
from collections.abc import Callable
from typing import Self

import structlog

from talksy.state.base import SLOT_MS, Away, Clock, Slot, Slots
from talksy.state.redis.client import Client, evaluated
from talksy.state.redis.scripts import FREE, PREFIX, RENEW, TAKE

log = structlog.get_logger(__name__)

RENEW_SECONDS = SLOT_MS / 3000
"""Two words may be lost before a slot is."""


class RedisSlots:
    """``Slots`` of which each is taken in one atomic step in Redis, and renewed while it is held.

    While Redis is away each node counts for itself, by its share of the limits.
    """

    def __init__(
        self,
        client: Client,
        local: Slots,
        *,
        nodes: Callable[[], int],
        clock: Clock | None = None,
    ) -> None:
        """``local`` has what this node holds, and ``nodes`` says among how many to share. ``clock``
        gives milliseconds since the epoch in the place of the clock of Redis.
        """
        self._client = client
        self._local = local
        self._nodes = nodes
        self._clock = clock
        self._held: dict[str, dict[str, Slot]] = {}
        """What is renewed: by user, then by key."""
        self._renewing: asyncio.Task[None] | None = None
        self.local_takes = 0
        """How often this node answered for itself."""

    async def __aenter__(self) -> Self:
        self._renewing = asyncio.create_task(self._renew(), name="slots")
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.gather(self._renewing, return_exceptions=True)

    async def take(self, slot: Slot, *, per_session: int, per_user: int) -> bool:
        if not await self._local.take(slot, per_session=per_session, per_user=per_user):
            return False
        taken = False
        try:
            taken = bool(
                await self._client.call(
                    TAKE,
                    _key(slot.user_id),
                    self._now(),
                    SLOT_MS,
                    slot.session_id,
                    slot.key,
                    per_session,
                    per_user,
                )
            )
        except Away:
            self.local_takes += 1
            taken = await self._take_share(slot, per_session, per_user)
        finally:
            if taken:
                self._held.setdefault(slot.user_id, {})[slot.key] = slot
            else:
                await self._local.free(slot)
        return taken

    async def free(self, slot: Slot) -> None:
        await self._local.free(slot)
        held = self._held.get(slot.user_id, {})
        held.pop(slot.key, None)
        if not held:
            self._held.pop(slot.user_id, None)
        try:
            await self._client.call(FREE, _key(slot.user_id), self._now(), SLOT_MS, slot.key)
        except Away as error:
            log.debug("slot_runs_out", reason=str(error))

    async def renew(self) -> None:
        """Says that all that is held here is held still. Raises ``Away``."""
        commands = []
        for user_id, held in self._held.items():
            words = [word for slot in held.values() for word in (slot.session_id, slot.key)]
            commands.append(evaluated(RENEW, _key(user_id), self._now(), SLOT_MS, *words))
        if commands:
            await self._client.run(commands)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            try:
                await self.renew()
            except Away as error:
                log.debug("slots_not_renewed", reason=str(error))
            except Exception as error:  # noqa: BLE001 - the next one may succeed
                log.warning("slots_not_renewed", error=type(error).__name__)

    async def _take_share(self, slot: Slot, per_session: int, per_user: int) -> bool:
        nodes = max(1, self._nodes())
        await self._local.free(slot)
        return await self._local.take(
            slot, per_session=max(1, per_session // nodes), per_user=max(1, per_user // nodes)
        )

    def _now(self) -> int | str:
        return "" if self._clock is None else self._clock()


def _key(user_id: str) -> str:
    return f"{PREFIX}:s:{user_id}"

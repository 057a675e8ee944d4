"""A node's hold on its turns: its lease, and what it does when it cannot be sure of it.

A lease is counted from before its renewal was asked for, on a clock of our own: so it ends here
no later than for the others, whatever the network does to an answer.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from time import monotonic

import structlog

from talksy.database.leases import Lease, Leases

log = structlog.get_logger(__name__)

BEAT_SECONDS = 0.5
FROZEN_SECONDS = 3.0
"""Who was away for so long asks before it shows anything more."""
MARGIN_SECONDS = 1.0
"""So long after its lease a node gives up what it writes."""
PAUSE_SECONDS = 0.5
BURY_SECONDS = 60.0


class Hold:
    """The lease of this node, renewed as long as it lives. Without leases it is alone, and sure."""

    def __init__(
        self,
        leases: Leases | None,
        *,
        renewed: Callable[[Lease, float], None],
        let_go: Callable[[], None],
    ) -> None:
        """``renewed`` is given the lease and the moment, on the monotonic clock, from which on it
        knows; ``let_go`` is called, again and again, while the lease is over and nobody can be
        asked.
        """
        self._leases = leases
        self._renewed = renewed
        self._let_go = let_go
        self._valid_until = 0.0
        self._seen_at = monotonic()
        self._asked = asyncio.Event()
        self._refused = False
        """The last renewal came to nothing."""
        self.nodes = 1
        """How many nodes live, as of the last renewal."""

    def sure(self) -> bool:
        """Whether what this node writes may be shown: it did not stand still since it last looked.

        Where it says no, it asks at once, and ``renewed`` tells.
        """
        if self._leases is None or monotonic() - self._seen_at <= FROZEN_SECONDS:
            return True
        self._asked.set()
        return False

    @property
    def left(self) -> float:
        """Seconds for which the lease is valid, by our own clock; infinite for who is alone."""
        return float("inf") if self._leases is None else self._valid_until - monotonic()

    async def take(self) -> None:
        """The first lease. Raises ``Overloaded``."""
        if self._leases is not None:
            await self._renew(self._leases)

    async def give_back(self) -> None:
        """Others may take over what is left, at once."""
        if self._leases is None:
            return
        try:
            await self._leases.give_back()
        except Exception as error:  # noqa: BLE001 - then it runs out by itself
            log.warning("lease_not_given_back", error=type(error).__name__)

    async def run(self) -> None:
        """Renews the lease until it is cancelled."""
        if self._leases is None:
            return
        beat = asyncio.create_task(self._beat(), name="lease beat")
        every = self._leases.ms / 5000
        buried_at = monotonic()
        try:
            while True:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._asked.wait(), every)
                self._asked.clear()
                try:
                    await self._renew(self._leases)
                    if monotonic() - buried_at > BURY_SECONDS:
                        buried_at = monotonic()
                        await self._leases.bury()
                except Exception as error:  # noqa: BLE001 - the lease lasts for some more tries
                    self._refused = True
                    log.warning("lease_not_renewed", error=type(error).__name__)
                    await asyncio.sleep(min(every / 2, PAUSE_SECONDS))
                    self._asked.set()
        finally:
            beat.cancel()
            await asyncio.gather(beat, return_exceptions=True)

    async def _renew(self, leases: Leases) -> None:
        asked_at = monotonic()
        lease = await leases.renew()
        self._valid_until = asked_at + leases.ms / 1000
        self._refused = False
        now = monotonic()
        if min(now - asked_at, now - self._seen_at) <= FROZEN_SECONDS:
            self._seen_at = monotonic()
            self.nodes = lease.nodes
            self._renewed(lease, asked_at)
        else:
            self._asked.set()  # we stood still in between: what it said is old

    async def _beat(self) -> None:
        """Notes that the loop turns, and lets go where the lease has run out."""
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            if monotonic() - self._seen_at <= FROZEN_SECONDS:
                self._seen_at = monotonic()
            else:
                log.warning("stood_still", seconds=round(monotonic() - self._seen_at, 1))
                self._asked.set()
            if self.left < -MARGIN_SECONDS and self._refused:
                try:
                    self._let_go()
                except Exception:
                    log.exception("let_go_failed")

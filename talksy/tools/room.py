"""Room for calls: of a session and of a user on all nodes, and of this node."""

import asyncio
from collections import defaultdict
from time import monotonic

from talksy.errors import ToolBusy
from talksy.ids import new_id
from talksy.state import MemorySlots, Slot, Slots
from talksy.tools.definition import Caller

LOOK_SECONDS = 0.25
"""How often who waits looks for what other nodes have freed."""


class Room:
    """Slots, and the wait for them."""

    def __init__(
        self,
        slots: Slots | None = None,
        *,
        per_session: int,
        per_user: int,
        per_node: int,
    ) -> None:
        self._slots = MemorySlots() if slots is None else slots
        self._per_session = per_session
        self._per_user = per_user
        self._here = asyncio.Semaphore(per_node)
        self._freed: defaultdict[str, set[asyncio.Future[None]]] = defaultdict(set)
        """Who waits, by user."""

    async def take(self, caller: Caller, wait: float) -> Slot:
        """A slot, after at most ``wait`` seconds. Raises ``ToolBusy``."""
        deadline = monotonic() + wait
        # Named by us: what a client makes up frees or takes nothing.
        slot = Slot(new_id("call"), caller.user_id, caller.session_id)
        while not await self._shared(slot):
            if (left := deadline - monotonic()) <= 0:
                raise ToolBusy
            await self._change(slot.user_id, min(left, LOOK_SECONDS))
        try:
            # Last, so that who waits for a session's slot takes no room from other sessions.
            left = deadline - monotonic()
            if self._here.locked() and left <= 0:
                raise ToolBusy
            async with asyncio.timeout(left if left > 0 else None):
                await self._here.acquire()
        except BaseException as error:
            await self._slots.free(slot)
            self._tell(slot.user_id)
            if isinstance(error, TimeoutError):
                raise ToolBusy from None
            raise
        return slot

    async def free(self, slot: Slot) -> None:
        """Gives it back."""
        self._here.release()
        try:
            await self._slots.free(slot)
        finally:
            self._tell(slot.user_id)

    async def _shared(self, slot: Slot) -> bool:
        return await self._slots.take(slot, per_session=self._per_session, per_user=self._per_user)

    async def _change(self, user_id: str, seconds: float) -> None:
        """Returns when a slot of the user is freed here, or the time has passed."""
        freed = asyncio.get_running_loop().create_future()
        waiting = self._freed[user_id]
        waiting.add(freed)
        try:
            await asyncio.wait({freed}, timeout=seconds)
        finally:
            waiting.discard(freed)
            if not waiting:
                self._freed.pop(user_id, None)

    def _tell(self, user_id: str) -> None:
        for freed in self._freed.get(user_id, ()):
            if not freed.done():
                freed.set_result(None)

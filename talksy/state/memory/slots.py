"""The slots of a single node: they end with the process."""

from talksy.state.base import Slot


class MemorySlots:
    """``Slots`` of what runs in this process."""

    def __init__(self) -> None:
        self._held: dict[str, dict[str, Slot]] = {}
        """By user, then by key."""

    def __len__(self) -> int:
        """How many are held."""
        return sum(map(len, self._held.values()))

    async def take(self, slot: Slot, *, per_session: int, per_user: int) -> bool:
        held = self._held.get(slot.user_id, {})
        in_session = sum(other.session_id == slot.session_id for other in held.values())
        if len(held) >= per_user or in_session >= per_session:
            return False
        self._held.setdefault(slot.user_id, held)[slot.key] = slot
        return True

    async def free(self, slot: Slot) -> None:
        held = self._held.get(slot.user_id, {})
        held.pop(slot.key, None)
        if not held:
            self._held.pop(slot.user_id, None)

"""Words between nodes that live in one process."""

from collections.abc import Callable

from talksy.state.memory.hub import MemoryHub


class MemoryBus:
    """The ``Bus`` of one node; ``another`` is that of the next. No word is lost."""

    def __init__(self, hub: MemoryHub | None = None) -> None:
        """What is said on a bus is heard on all that share its ``hub``."""
        self._hub = MemoryHub() if hub is None else hub

    def another(self) -> "MemoryBus":
        """The bus of another node, on which the same words are said."""
        return MemoryBus(self._hub)

    async def say(self, channel: str, word: str) -> None:
        self._hub.words.tell(channel, word)

    async def listen(self, channel: str, hear: Callable[[str], None]) -> None:
        self._hub.words.add(channel, self, hear)

    def on_gap(self, call: Callable[[], None]) -> None:
        """``call`` is never called: nothing can be missed."""

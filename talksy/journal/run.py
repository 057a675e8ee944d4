"""One running turn: its mirror, what bounds it, and the way to stop it."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from talksy.conversation import Turn
from talksy.database.rows import TurnRow
from talksy.errors import PayloadTooLarge, ProviderTimeout
from talksy.events import Chunk, Delta, Ending, Reason
from talksy.journal.merge import Merge
from talksy.journal.mirror import Mirror


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a turn may take."""

    events: int = 16_000
    text_bytes: int = 1_000_000
    seconds: float = 120.0
    coalesce_ms: int = 30
    """Deltas that come closer together than this become one chunk; 0 for never."""
    coalesce_bytes: int = 64
    """A chunk that is this long waits no longer; 0 as above."""


class Run:
    """Drains a turn into its mirror."""

    def __init__(self, row: TurnRow, mirror: Mirror, bounds: Bounds) -> None:
        self.row = row
        self.mirror = mirror
        self.ended = asyncio.Event()
        """Set when the readers were told the ending."""
        self.chunks = 0
        self.stored = -1
        """How many bytes of text the last checkpoint had; -1 before the first."""
        self._bounds = bounds
        self._given: list[str] = []
        self._bytes = 0
        self._turn: Turn | None = None
        self._stopped: tuple[Reason, Mapping[str, Any] | None] | None = None

    @property
    def source(self) -> tuple[str | None, str | None]:
        """The provider and the model that answer, once they are chosen."""
        return (self._turn.provider, self._turn.model) if self._turn else (None, None)

    @property
    def text(self) -> str:
        """What was given so far."""
        return "".join(self._given)

    @property
    def text_bytes(self) -> int:
        """How long that is in UTF-8."""
        return self._bytes

    def stop(self, reason: Reason, error: Mapping[str, Any] | None = None) -> None:
        """Ends the turn with ``reason`` as soon as may be; the first call counts."""
        if self._stopped is None:
            self._stopped = (reason, error)
            if self._turn is not None:
                self._turn.stop(reason, error)

    async def drain(self, turn: Turn) -> Ending:
        """Runs ``turn`` to its ending, whose text is what was given."""
        self._turn = turn
        if self._stopped is not None:
            turn.stop(*self._stopped)
        late = ProviderTimeout(f"the answer took longer than {self._bounds.seconds:g} s")
        deadline = asyncio.get_running_loop().call_later(
            self._bounds.seconds, self.stop, "failed", late.payload()
        )
        merge = Merge(self._give, self._bounds.coalesce_ms, self._bounds.coalesce_bytes)
        push = merge.push if self.row.streamed else self._give

        def take(delta: Delta) -> None:
            push(delta.text)

        try:
            ending = await turn.run(take)
        finally:
            deadline.cancel()
            merge.close()
        return replace(ending, text=self.text, chunks=self.chunks)

    def _give(self, text: str) -> None:
        # Half a surrogate pair can be neither stored nor sent.
        encoded = text.encode("utf-8", "replace")
        if self._full(len(encoded)):
            return
        text = encoded.decode()
        self._given.append(text)
        self._bytes += len(encoded)
        if self.row.streamed:
            self.mirror.append(Chunk(text, self.chunks))
            self.chunks += 1

    def _full(self, more: int) -> bool:
        """Whether ``more`` bytes would pass a bound; then the turn is stopped."""
        bounds = self._bounds
        if self._bytes + more > bounds.text_bytes:
            fault = f"the answer is longer than {bounds.text_bytes} bytes"
        elif len(self.mirror.events) >= bounds.events:
            fault = f"the answer has more than {bounds.events} events"
        else:
            return False
        self.stop("failed", PayloadTooLarge(fault).payload())
        return True

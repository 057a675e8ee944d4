"""One running turn: its mirror, what bounds it, and the way to stop it."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any

from talksy.conversation import Course, Given, Parked
from talksy.database.lane import Checkpoint
from talksy.database.rows import TurnRow
from talksy.errors import PayloadTooLarge, ProviderTimeout
from talksy.events import Chunk, Delta, Ending, Event, Reason, StreamReset, ToolAsked, ToolDone
from talksy.journal.lines import length_of, text_of
from talksy.journal.merge import Merge
from talksy.journal.mirror import Mirror
from talksy.messages import clean, size
from talksy.metrics import Metrics
from talksy.wheel import Wheel

GRAIN_SECONDS = 0.005
"""By so much chunks may be late; what is due within it leaves together."""


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

    __slots__ = (
        "_bounds",
        "_bytes",
        "_given",
        "_held",
        "_metrics",
        "_pulse",
        "_stopped",
        "_streamed",
        "_sure",
        "_told",
        "_turn",
        "_wheel",
        "acked",
        "began_at",
        "chunks",
        "committing",
        "ended",
        "ending",
        "final",
        "flushed_at",
        "listeners",
        "lost",
        "mirror",
        "overdue",
        "parked",
        "progress",
        "row",
        "stored",
    )

    def __init__(
        self,
        row: TurnRow,
        mirror: Mirror,
        bounds: Bounds,
        metrics: Metrics | None = None,
        *,
        given: Callable[["Run"], None] | None = None,
        sure: Callable[[], bool] = lambda: True,
        wheel: Wheel | None = None,
    ) -> None:
        """``given`` is called when the mirror has more; as long as ``sure`` says no, another node
        may have the turn: nothing is shown then, until ``release``. ``wheel`` is the time of all
        turns of the node.
        """
        self.row = row
        self.mirror = mirror
        self._streamed = row.streamed
        self.began_at = monotonic()
        self.ending = False
        """Its ending is being committed: the row may have it already."""
        self.committing = False
        """An attempt at that is under way."""
        self.overdue = False
        """The readers wait no longer for that: they are to be told without it."""
        self.lost = False
        """Another node writes the turn now, or gave it its ending: nothing more is shown."""
        self.parked = False
        """It waits for a person: nobody writes it."""
        self.acked = 0
        """How many events are in the log."""
        self.listeners = 0
        """How many nodes followed it at the last look."""
        self.flushed_at = 0.0
        """When it was last written to the log, on the loop's clock."""
        self.final: bytes | None = None
        """Its ending for the log, once it is committed."""
        self.ended = asyncio.Event()
        """Set when the readers were told the ending."""
        self.chunks = 0
        self.progress = 0
        """Grows with all that is given and with each reset."""
        self.stored = -1
        """The progress of the last checkpoint; -1 before the first."""
        self._bounds = bounds
        self._metrics = (metrics or Metrics()).turns
        self._pulse = self._metrics.pulse()
        self._told = given
        self._sure = sure
        self._wheel = wheel or Wheel(GRAIN_SECONDS)
        self._held: list[Event] = []
        self._given: list[str] = []
        self._bytes = 0
        self._turn: Course | None = None
        self._stopped: tuple[Reason, Mapping[str, Any] | None] | None = None

    def checkpoint(self) -> Checkpoint:
        """How far it has come."""
        answering = self._turn.answering if self._turn else None
        return Checkpoint(
            turn=self.row,
            text=self.text,
            events=self.events,
            chunks=self.chunks,
            provider=answering.provider if answering else None,
            model=answering.model if answering else None,
            degraded=answering.degraded if answering else False,
        )

    @property
    def seconds(self) -> float:
        """How long it has run."""
        return self._pulse.seconds

    @property
    def text(self) -> str:
        """What was given so far."""
        if len(self._given) > 1:
            # Joined once, so that who looks each second does not join all of it each time.
            self._given = ["".join(self._given)]
        return self._given[0] if self._given else ""

    def stop(self, reason: Reason, error: Mapping[str, Any] | None = None) -> None:
        """Ends the turn with ``reason`` as soon as may be; the first call counts."""
        if self._stopped is None:
            self._stopped = (reason, error)
            if self._turn is not None:
                self._turn.stop(reason, error)

    def take_up(self, events: Sequence[Event]) -> None:
        """Goes on behind ``events``, of which the mirror may have the first."""
        text, self.chunks = text_of(events)
        self._given = [text] if text else []
        self._bytes = sum(map(length_of, events))
        self.progress = len(events)
        if missing := events[len(self.mirror.events) :]:
            self.mirror.extend(missing)
        if self._told is not None:
            self._told(self)

    async def drain(self, turn: Course) -> Ending | Parked:
        """Runs ``turn`` to its ending, whose text is what was given, or to where it has to wait."""
        self._turn = turn
        if self._stopped is not None:
            turn.stop(*self._stopped)
        late = ProviderTimeout(f"the answer took longer than {self._bounds.seconds:g} s")
        deadline = asyncio.get_running_loop().call_later(
            self._bounds.seconds, self.stop, "failed", late.payload()
        )
        bounds = self._bounds
        merge = Merge(self._give, bounds.coalesce_ms, bounds.coalesce_bytes, self._wheel)
        merged = self.row.streamed and bounds.coalesce_ms and bounds.coalesce_bytes
        push = merge.push if merged else self._give

        def take(part: Given) -> None:
            if isinstance(part, Delta):
                push(part.text)
            elif isinstance(part, StreamReset):
                merge.drop()
                self._void(part)
            else:
                merge.close()
                self._report(part)

        try:
            ending = await turn.run(take)
        finally:
            deadline.cancel()
            merge.close()
        if isinstance(ending, Parked):
            return ending
        error = ending.error and {
            name: clean(value) if isinstance(value, str) else value
            for name, value in ending.error.items()
        }
        text = ending.text if ending.heard else self.text
        return replace(ending, text=text, chunks=self.chunks, error=error)

    def _give(self, text: str) -> None:
        length = len(text)
        if not text.isascii() or "\0" in text:
            text = clean(text)
            length = size(text)
        if self._full(length):
            return
        self._given.append(text)
        self._bytes += length
        self.progress += length
        if self._streamed:
            chunk = Chunk(text, self.chunks)
            self.chunks += 1
            self._show(chunk, length)
            self._pulse.beat()

    def _void(self, reset: StreamReset) -> None:
        self._given.clear()
        self._bytes = self.chunks = 0
        self.progress += 1
        self._metrics.reset()
        if self.row.streamed:
            self._show(reset, 0)

    def _report(self, event: ToolAsked | ToolDone) -> None:
        """Shows what goes on with tools. What was shown to begin is shown to end, too."""
        length = length_of(event)
        if isinstance(event, ToolDone) or not self._full(length):
            self._bytes += length
            self.progress += 1
            self._show(event, length)

    def _show(self, event: Event, length: int) -> None:
        if self._held or not self._sure():
            self._held.append(event)
        elif not self.lost and self.mirror.end is None:
            self.mirror.append(event, length)
            if self._told is not None:
                self._told(self)

    def release(self) -> None:
        """Shows what was held back: the turn is still ours."""
        held, self._held = self._held, []
        if held and not self.lost and self.mirror.end is None:
            self.mirror.extend(held)
            if self._told is not None:
                self._told(self)

    def await_person(self, asked: Sequence[ToolAsked]) -> None:
        """It is stored, and shows what it waits for: somebody may decide from here on."""
        self.parked = True
        self.mirror.extend(asked)
        if self._told is not None:
            self._told(self)

    def drop(self) -> None:
        """Does not show what was held back."""
        self._held.clear()

    @property
    def stopped(self) -> bool:
        """Whether somebody wants its end."""
        return self._stopped is not None

    @property
    def given(self) -> list[Event]:
        """What was given, that which is held back included."""
        return [*self.mirror.events, *self._held]

    @property
    def events(self) -> int:
        """How many events were given, those that are held back among them."""
        return len(self.mirror.events) + len(self._held)

    def lose(self) -> None:
        """Stops it: whatever it still says is not shown."""
        self.lost = True
        self._held.clear()
        self.stop("interrupted")

    def _full(self, more: int) -> bool:
        """Whether ``more`` bytes would pass a bound; then the turn is stopped."""
        bounds = self._bounds
        if self._bytes + more > bounds.text_bytes:
            fault = f"the answer is longer than {bounds.text_bytes} bytes"
        elif len(self.mirror.events) + len(self._held) >= bounds.events:
            fault = f"the answer has more than {bounds.events} events"
        else:
            return False
        self.stop("failed", PayloadTooLarge(fault).payload())
        return True

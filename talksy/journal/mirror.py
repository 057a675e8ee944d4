"""What a node knows of a turn, and the cursors of those who read it."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Self

import structlog

from talksy.database.rows import TurnRow
from talksy.events import Ending, Event, Reason, Started
from talksy.journal.lines import length_of

log = structlog.get_logger(__name__)

EVENT_BYTES = 200
"""About what an event takes in memory beside its text."""


class Mirror:
    """The events of one turn, event *i* under number *i*, and its ending, kept apart.

    A reader is a cursor into it: one that lags holds no copies and slows nobody.
    """

    __slots__ = (
        "end",
        "events",
        "message_id",
        "readers",
        "session_id",
        "streamed",
        "text_bytes",
        "total",
        "turn_id",
        "written",
    )

    def __init__(self, turn: TurnRow) -> None:
        self.turn_id = turn.id
        self.session_id = turn.session_id
        self.message_id = turn.message_id
        self.streamed = turn.streamed
        self.events: list[Event] = []
        self.text_bytes = 0
        self.end: Ending | None = None
        self.total = 0
        """How many events count, once it has ended; more than there are where some never came."""
        self.readers: tuple[Reader, ...] = ()
        """Replaced, never changed: who is called may close, or open another."""
        self.written: tuple[int, Event | Ending, bytes] | None = None
        """The last event that was encoded for a reader, with its number: the others are sent the
        same bytes."""

    @classmethod
    def past(cls, turn: TurnRow) -> Self:
        """An ended turn of which only the row is left: its ending is all there is to read."""
        mirror = cls(turn)
        mirror.end = ending_of(turn)
        mirror.total = turn.events
        return mirror

    @property
    def last_seq(self) -> int:
        """The last number there is, -1 for none."""
        return len(self.events) - (self.end is None)

    @property
    def bytes(self) -> int:
        """About what it takes in memory."""
        return self.text_bytes + EVENT_BYTES * (len(self.events) + 1)

    def append(self, event: Event, length: int = 0) -> None:
        """Adds the next event, with so many bytes of text, and calls the readers."""
        self.events.append(event)
        self.text_bytes += length
        if self.readers:
            self._call()

    def extend(self, events: Sequence[Event]) -> None:
        """Adds the next events and calls the readers."""
        self.events += events
        self.text_bytes += sum(map(length_of, events))
        self._call()

    def finish(self, ending: Ending, total: int | None = None) -> None:
        """Sets the ending, once, and calls the readers.

        ``total`` is how many events count; what was given beyond is void.
        """
        if self.end is not None:
            raise RuntimeError(f"turn {self.turn_id} has ended")
        self.total = len(self.events) if total is None else total
        del self.events[self.total :]
        self.end = ending
        self._call()

    def _call(self) -> None:
        for reader in self.readers:
            try:
                reader.wake()
            except Exception:
                # Neither the turn nor its other readers must suffer from one of them.
                log.exception("reader_failed", turn_id=self.turn_id)
                reader.close()


class Reader:
    """One client's cursor into one turn: each number once, in order, the ending last."""

    __slots__ = ("after", "mirror", "over", "wake")

    def __init__(self, mirror: Mirror, after: int, wake: Callable[[], None]) -> None:
        """Reads what follows ``after`` (-1 for all); ``wake`` is called when there is more."""
        self.mirror = mirror
        self.after = after
        """The last number given."""
        self.over = False
        """The ending was given, or the reader was closed."""
        self.wake = wake
        mirror.readers += (self,)

    def take(self) -> tuple[int, Event | Ending] | None:
        """The next event with its number, or None where there is nothing new or nothing more.

        The ending is numbered by the reader: one after the last that it got, so that no reader
        sees a hole, wherever its turn was cut.
        """
        if self.over:
            return None
        mirror, number = self.mirror, self.after + 1
        if number < len(mirror.events):
            self.after = number
            return number, mirror.events[number]
        if mirror.end is None:
            return None
        self.close()
        self.after = number
        ending = mirror.end
        given = len(mirror.events) == mirror.total == number > 0
        if mirror.streamed and ending.reason == "completed" and given:
            ending = replace(ending, text=None)
        return number, ending

    def close(self) -> None:
        """Stops reading."""
        self.over = True
        mirror = self.mirror
        mirror.readers = tuple(each for each in mirror.readers if each is not self)


def opened(turn: TurnRow) -> Mirror:
    """The mirror of a turn that begins here."""
    mirror = Mirror(turn)
    if turn.streamed:
        mirror.append(Started(turn.message_id))
    return mirror


_REASONS: dict[str, Reason] = {
    "completed": "completed",
    "cancelled": "cancelled",
    "interrupted": "interrupted",
    "failed": "failed",
}


def ending_of(turn: TurnRow) -> Ending:
    """The ending that an ended turn's row tells."""
    return Ending(
        reason=_REASONS[turn.status],
        text=turn.text,
        chunks=turn.chunks,
        provider=turn.provider,
        model=turn.model,
        usage=turn.usage,
        error=turn.error,
        degraded=turn.degraded,
        ended_at=turn.ended_at or 0,
        next_turn_id=turn.next_turn_id,
    )

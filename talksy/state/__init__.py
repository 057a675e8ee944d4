"""Short-lived shared state behind small contracts.

``Windows`` counts what was done lately and ``Slots`` what runs just now, ``TurnLog`` is the way of
a turn's events to other nodes, ``Bus`` that of words between them. All of it may be forgotten: what
decides is in the database.
"""

from talksy.state.base import (
    READ_EVENTS,
    SLOT_MS,
    Append,
    Appended,
    Away,
    Bus,
    Clock,
    Nudge,
    Place,
    Slot,
    Slots,
    TurnLog,
    Verdict,
    Windows,
)
from talksy.state.memory import MemoryBus, MemoryHub, MemoryLog, MemorySlots, MemoryWindows

__all__ = [
    "READ_EVENTS",
    "SLOT_MS",
    "Append",
    "Appended",
    "Away",
    "Bus",
    "Clock",
    "MemoryBus",
    "MemoryHub",
    "MemoryLog",
    "MemorySlots",
    "MemoryWindows",
    "Nudge",
    "Place",
    "Slot",
    "Slots",
    "TurnLog",
    "Verdict",
    "Windows",
]

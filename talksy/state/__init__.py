"""Short-lived shared state behind small contracts.

``Windows`` counts what was done lately, ``TurnLog`` is the way of a turn's events to other nodes,
``Bus`` that of words between them. All of it may be forgotten: what decides is in the database.
"""

from talksy.state.base import (
    READ_EVENTS,
    Append,
    Appended,
    Away,
    Bus,
    Clock,
    Nudge,
    Place,
    TurnLog,
    Verdict,
    Windows,
)
from talksy.state.memory import MemoryBus, MemoryHub, MemoryLog, MemoryWindows

__all__ = [
    "READ_EVENTS",
    "Append",
    "Appended",
    "Away",
    "Bus",
    "Clock",
    "MemoryBus",
    "MemoryHub",
    "MemoryLog",
    "MemoryWindows",
    "Nudge",
    "Place",
    "TurnLog",
    "Verdict",
    "Windows",
]

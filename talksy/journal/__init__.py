"""Turns, numbered and kept for as long as somebody may still want them."""

from talksy.journal.journal import Announce, Compose, Journal
from talksy.journal.keep import FleetStats, Keep
from talksy.journal.mirror import Mirror, Reader
from talksy.journal.parking import Again
from talksy.journal.run import Bounds

__all__ = [
    "Again",
    "Announce",
    "Bounds",
    "Compose",
    "FleetStats",
    "Journal",
    "Keep",
    "Mirror",
    "Reader",
]

"""What a node keeps, and what it has done for others."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Keep:
    """How long and how much a node keeps."""

    bytes: int = 256_000_000
    """All turns together; beyond it no new ones are taken."""
    ended_seconds: float = 30.0
    """An ended turn in memory, unless somebody reads it; later its row answers."""
    checkpoint_seconds: float = 1.0
    """How often the text of running turns is stored: what a crash may lose."""
    logged_seconds: float = 5.0
    """The same while the log takes all of it."""
    patience_seconds: float = 10.0
    """How long an ending waits for the database before the readers are told without it."""
    sweep_seconds: float = 1.5
    """How often, at most, the turns of dead nodes are looked for."""
    found_seconds: float = 2.0
    """How often it is looked for turns in this node's name that it does not know of."""
    far_seconds: float = 14.0
    """How long somebody waits for an ending that another node gives: it may have to die first."""


@dataclass(frozen=True, slots=True)
class FleetStats:
    """What a node has done for others and they for it, since it began."""

    nodes: int
    """How many nodes live."""
    followed: int
    """Turns of other nodes that are read here, now."""
    behind: int
    """Turns that the log does not have whole, now."""
    appends: int
    appended_events: int
    resent_events: int
    """Events that the log had lost."""
    nudges: int
    gaps: int
    """Nudges that did not continue what was there."""
    log_reads: int
    endings_asked: int
    """Endings that the database had to tell."""
    taken_over: int
    """Turns of dead nodes that were ended here."""
    lost: int
    """Turns of this node that others ended."""

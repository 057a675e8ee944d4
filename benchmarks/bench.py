"""What a scenario is given."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from benchmarks.load import Load
from benchmarks.report import Section


@dataclass(frozen=True)
class Bench:
    """The processes for clients, and how thorough it is to be."""

    load: Load
    files: int
    """How many sockets a server may have."""
    rounds: int | None = None
    """How many were asked for; None for as many as each scenario finds right."""
    quick: bool = False
    """Small counts: whether it works, rather than what it costs."""

    def times(self, usual: int) -> int:
        """How many rounds."""
        return self.rounds or (1 if self.quick else usual)

    def count(self, usual: int, quick: int) -> int:
        """How many clients, tokens or seconds."""
        return quick if self.quick else usual

    def clients(self, usual: int, quick: int) -> int:
        """The same for those who are connected at once: no more than there may be."""
        return min(self.count(usual, quick), self.files)


Scenario = Callable[[Bench], Awaitable[Section]]

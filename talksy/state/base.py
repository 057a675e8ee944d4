"""What every adapter of the shared state promises."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

Clock = Callable[[], int]
"""Gives milliseconds."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a window said."""

    allowed: bool
    limit: int
    remaining: int
    """What may still be taken now, after what was taken."""
    reset_at: int
    """When there is more room, in milliseconds since the epoch: for a refusal the moment at which
    what was asked fits, else the moment at which the oldest leaves the window."""
    retry_after: float
    """Seconds until what was asked fits; 0 when it was allowed."""


class Windows(Protocol):
    """Sliding windows, one a key: no window, however placed, holds more than its limit.

    A window is half-open: of two hits exactly ``window_ms`` apart the first has left when the
    second comes. A key belongs to one window length; its limit may change between hits.
    """

    async def hit(self, key: str, limit: int, window_ms: int, cost: int = 1) -> Verdict:
        """Takes ``cost`` if all of it fits and nothing otherwise, in one atomic step.

        A cost of 0 takes nothing and answers what a cost of 1 would get. What can never fit,
        such as anything under a limit of 0, is refused and told to come back after a window.
        Raises ``ValueError`` for a negative number or a window without length.
        """
        ...

    async def refund(self, key: str, cost: int = 1) -> None:
        """Gives back the newest ``cost`` of what was taken, or all if that is less.

        Raises ``ValueError`` for a negative cost.
        """
        ...

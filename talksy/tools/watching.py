"""Who is told what tools do."""

from typing import Protocol


class ToolWatcher(Protocol):
    """Is told at once, in the task of the call. It must not raise."""

    def began(self, tool: str, waited: float) -> None:
        """A call begins, after so many seconds of waiting for room."""
        ...

    def ended(self, tool: str, outcome: str, seconds: float) -> None:
        """A call is answered: ``done``, ``cancelled`` or the code of what it failed of."""
        ...

    def stopped(self, tool: str) -> None:
        """The work of a call that began has really ended."""
        ...

    def refused(self, tool: str, waited: float) -> None:
        """There was no room for a call."""
        ...

    def held_loop(self, tool: str, seconds: float) -> None:
        """A tool let nothing else go on for so long."""
        ...


class Unwatched:
    """A ``ToolWatcher`` that looks away."""

    def began(self, tool: str, waited: float) -> None:
        """Nobody wants to know."""

    def ended(self, tool: str, outcome: str, seconds: float) -> None:
        """Nobody wants to know."""

    def stopped(self, tool: str) -> None:
        """Nobody wants to know."""

    def refused(self, tool: str, waited: float) -> None:
        """Nobody wants to know."""

    def held_loop(self, tool: str, seconds: float) -> None:
        """Nobody wants to know."""

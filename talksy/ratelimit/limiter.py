"""Takes from a sliding window and counts what each limit allowed and refused."""

from dataclasses import dataclass

from talksy.state import Verdict, Windows


@dataclass(slots=True)
class Count:
    """How often a limit was asked since the start."""

    allowed: int = 0
    refused: int = 0


class Limiter:
    """Limits by name and identity. A key is ``name:identity``, such as ``messages:usr_Wq3…``."""

    def __init__(self, windows: Windows) -> None:
        self._windows = windows
        self._counts: dict[str, Count] = {}

    async def take(self, key: str, limit: int, window_ms: int, cost: int = 1) -> Verdict:
        """Takes ``cost`` from the window of ``key``, all of it or nothing.

        A cost of 0 asks whether 1 would fit, takes nothing and is not counted.
        """
        verdict = await self._windows.hit(key, limit, window_ms, cost)
        if cost:
            count = self._counts.setdefault(_name(key), Count())
            count.allowed += verdict.allowed
            count.refused += not verdict.allowed
        return verdict

    async def refund(self, key: str, cost: int = 1) -> None:
        """Gives back the newest ``cost``: for what was taken and then not done."""
        await self._windows.refund(key, cost)

    def stats(self) -> dict[str, Count]:
        """What each limit, by name, allowed and refused since the start."""
        return dict(self._counts)


def _name(key: str) -> str:
    # A key without a name must not grow the table by one line an identity.
    name, colon, _ = key.partition(":")
    return name if colon else "other"

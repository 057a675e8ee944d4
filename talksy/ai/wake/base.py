"""What every detector of wake words promises."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class Wake:
    """The wake word was said."""

    phrase: str
    confidence: float
    """0 to 1, as the engine has it: those of two engines do not compare."""
    at_ms: int
    """Until when, as well as the engine can tell, on the clock of what it was given to hear."""


class WakeDetector(Protocol):
    """Listens for one phrase in one stream of 16 kHz PCM.

    The pieces may have any length, an odd number of bytes too: the same stream gives the same
    wakes, however it was cut.
    """

    def hear(self, pcm: bytes) -> list[Wake]:
        """Takes the next piece, at once; gives the wakes that are known by now.

        One that is found elsewhere comes with a later piece. Raises ``Overloaded`` where what
        listens elsewhere does not follow, and ``ProviderUnavailable`` where it is gone: then this
        detector is of no use any more.
        """
        ...

    async def settle(self) -> list[Wake]:
        """Waits until all that was given is judged; gives the wakes that were not known yet.

        Raises as ``hear``, and ``ProviderTimeout`` where that takes too long.
        """
        ...

    async def finish(self) -> list[Wake]:
        """The stream is over: gives the wakes that were not known yet. Raises as ``settle``."""
        ...


@runtime_checkable
class WakeEngine(Protocol):
    """What makes detectors: one on a node, for as many streams as there are."""

    @property
    def name(self) -> str:
        """The engine's name, such as ``micro``."""
        ...

    def knows(self, phrase: str) -> bool:
        """Whether it can listen for ``phrase``, as far as it can tell without trying."""
        ...

    async def warm(self) -> None:
        """Loads what is shared, once. Raises ``ProviderUnavailable`` where it is not installed."""
        ...

    def listen(self, phrase: str, sensitivity: float) -> AbstractAsyncContextManager[WakeDetector]:
        """A detector for one stream. ``sensitivity`` is 0 to 1.

        Raises ``ValidationError`` for a phrase that it does not know, else as ``warm``.
        """
        ...

    async def close(self) -> None:
        """Ends what runs for it."""
        ...

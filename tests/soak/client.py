"""Somebody with a microphone, who keeps nothing of what is said."""

import asyncio
from collections import Counter
from collections.abc import Callable

from talksy.audio import milliseconds, size_of
from talksy.errors import TalksyError
from talksy.events import Ending, Fault, Notice, Transcribed
from talksy.gateway import Connection, Gateway
from talksy.journal import Reader
from tests.soak.clock import LeapingLoop

PIECE = size_of(40)
BREATH_SECONDS = 0.001
REAL_SECONDS = 20.0
"""For what takes real work, such as to recognise something."""


class Counting:
    """An ``Outlet`` that counts what it is given, by kind."""

    def __init__(self) -> None:
        self.counted: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.text = ""
        """The last transcript."""
        self.reason = ""
        """How the last answer ended."""
        self._readers: list[Reader] = []
        self._news = asyncio.Event()

    def tell(self, notice: Notice) -> None:
        self._count(type(notice).__name__)
        match notice:
            case Transcribed(text, final=True):
                self.text = text
                self._count("final")
            case Fault(error):
                self.faults[error["code"]] += 1

    def attach(self, reader: Reader) -> None:
        self._readers.append(reader)
        self.wake()

    def wake(self) -> None:
        for reader in [*self._readers]:
            while taken := reader.take():
                _, event = taken
                if isinstance(event, Ending):
                    self.reason = event.reason
                    self._readers.remove(reader)
                    self._count(event.reason)
                self._count(type(event).__name__)

    def close(self, error: TalksyError) -> None:
        raise AssertionError(f"it was hung up on: {error}")

    def _count(self, name: str) -> None:
        self.counted[name] += 1
        self._news.set()

    async def until(self, name: str, count: int) -> None:
        """Waits until there were so many of a kind, while real time passes alone."""
        async with asyncio.timeout(REAL_SECONDS):
            while self.counted[name] < count:
                self._news.clear()
                await self._news.wait()


class Speaker:
    """Speaks into the microphone at a simulated pace: each piece when its time has come."""

    def __init__(self, gateway: Gateway, connection: Connection, outlet: Counting) -> None:
        self._gateway = gateway
        self._connection = connection
        self.outlet = outlet
        loop = asyncio.get_running_loop()
        assert isinstance(loop, LeapingLoop)
        self._loop = loop

    async def say(
        self, pcm: bytes, until: Callable[[], bool] = lambda: False, *, slowly: bool = False
    ) -> bool:
        """Says it, in so much simulated time; or as much of it as it takes until something is so,
        and tells whether it was. ``slowly`` leaves others time for real work meanwhile.
        """
        for at in range(0, len(pcm), PIECE):
            if until():
                return True
            piece = pcm[at : at + PIECE]
            self._gateway.hear(self._connection, piece)
            self._loop.leap(milliseconds(len(piece)) / 1000)
            await asyncio.sleep(BREATH_SECONDS if slowly else 0)
        return until()

"""Between the wire, which brings sound as it likes, and who judges it, which takes time."""

import asyncio
from collections.abc import Awaitable, Callable

from talksy.errors import Overloaded


class Intake:
    """Takes sound at once and hands it on in order, a slice in each turn of the loop: so nobody
    holds up others with a long piece, and who judges may wait for somebody else meanwhile.
    """

    def __init__(
        self, judge: Callable[[bytes], Awaitable[None]], *, slice_bytes: int, most_bytes: int
    ) -> None:
        """``judge`` raises nothing. No more than ``most_bytes`` wait for it."""
        self._judge = judge
        self._slice = slice_bytes
        self._most = most_bytes
        self._waiting = bytearray()
        self._news = asyncio.Event()
        self._over = False
        self._task = asyncio.create_task(self._hand_on(), name="sound")

    def put(self, pcm: bytes) -> None:
        """The next piece, of any length. Raises ``Overloaded`` where too much waits."""
        if len(self._waiting) + len(pcm) > self._most:
            raise Overloaded("sound is not heard as fast as it comes: wait a while")
        self._waiting += pcm
        self._news.set()

    async def finish(self) -> None:
        """There is no more: waits until all of it is judged."""
        self._over = True
        self._news.set()
        await asyncio.wait({self._task})

    async def close(self) -> None:
        """Drops what waits."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _hand_on(self) -> None:
        while not self._over or self._waiting:
            if not self._waiting:
                self._news.clear()
                await self._news.wait()
                continue
            piece = bytes(self._waiting[: self._slice])
            del self._waiting[: self._slice]
            await self._judge(piece)
            await asyncio.sleep(0)

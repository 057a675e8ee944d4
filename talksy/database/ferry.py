"""One trip for all who wait."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

Asked = TypeVar("Asked")
Given = TypeVar("Given")

ASHORE = 8
"""So many are told their answers in one turn of the loop, since all of them go on in the next: a
hundred at once would hold up everybody else.
"""


@dataclass(frozen=True, slots=True)
class Failed:
    """What one of several came to, where the others go on."""

    error: Exception


class Ferry(Generic[Asked, Given]):
    """What is asked while a trip is under way goes with the next one, all of it together: so a
    crowd costs few transactions, few commits and few ways to a thread.
    """

    def __init__(
        self,
        cross: Callable[[Sequence[Asked]], Awaitable[Sequence[Given | Failed]]],
        *,
        most: int,
        seconds: float,
        pause: float = 0.0,
        forsaken: Callable[[Given], None] = lambda _given: None,
    ) -> None:
        """``cross`` gives each of those who are aboard an answer, in their order, or raises what
        failed all of them. ``most`` go in one trip; who has waited for it ``seconds`` is refused.
        Between two departures are ``pause`` seconds at least, so that a crowd's trips are fuller.
        ``forsaken`` is given the answers that nobody is there to take any more.
        """
        self._cross = cross
        self._most = most
        self._seconds = seconds
        self._pause = pause
        self._forsaken = forsaken
        self._waiting: dict[asyncio.Future[Given], tuple[Asked, float]] = {}
        """What each asked for, and until when it waits: the first first."""
        self._watch: asyncio.TimerHandle | None = None
        """For the first of them, or one that was before it."""
        self._arrived: deque[tuple[asyncio.Future[Given], Given | Failed]] = deque()
        """Who is back and was not told yet."""
        self._under_way = False
        self._left_at = float("-inf")

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    @property
    def load(self) -> int:
        """How much who comes now has before it."""
        return len(self._waiting) + self._under_way

    async def carry(self, asked: Asked) -> Given:
        """What it came to. Raises ``TimeoutError`` where it had to wait too long.

        Who gives up before its trip is not taken along; later, what it asked for is done and its
        answer is forsaken.
        """
        loop = asyncio.get_running_loop()
        told: asyncio.Future[Given] = loop.create_future()
        until = loop.time() + self._seconds
        self._waiting[told] = asked, until
        if self._watch is None:
            self._watch = loop.call_at(until, self._refuse)
        if not self._under_way:
            self._under_way = True
            self._depart(loop)
        try:
            return await told
        except asyncio.CancelledError:
            if not told.cancelled() and told.exception() is None:
                self._forsaken(told.result())
            raise

    def _depart(self, loop: asyncio.AbstractEventLoop) -> None:
        """Leaves with all who ask in this turn of the loop, or when the pause is over."""
        if self._pause and (due := self._left_at + self._pause) > loop.time():
            loop.call_at(due, self._leave)
        else:
            loop.call_soon(self._leave)

    def _leave(self) -> None:
        aboard: list[asyncio.Future[Given]] = []
        load: list[Asked] = []
        while self._waiting and len(aboard) < self._most:
            told = next(iter(self._waiting))
            asked, _ = self._waiting.pop(told)
            if not told.done():
                aboard.append(told)
                load.append(asked)
        self._under_way = bool(aboard)
        if aboard:
            self._left_at = asyncio.get_running_loop().time()
            trip = asyncio.ensure_future(self._cross(load))
            trip.add_done_callback(partial(self._arrive, aboard))

    def _arrive(
        self,
        aboard: Sequence[asyncio.Future[Given]],
        trip: asyncio.Future[Sequence[Given | Failed]],
    ) -> None:
        landing = bool(self._arrived)
        self._arrived.extend(zip(aboard, _given(trip, len(aboard)), strict=True))
        if not landing:
            self._land()
        if self._waiting and self._pause:
            self._depart(asyncio.get_running_loop())
        else:
            self._leave()

    def _land(self) -> None:
        """Tells the next few; the others in the turns of the loop after this."""
        for _ in range(min(ASHORE, len(self._arrived))):
            told, given = self._arrived.popleft()
            if isinstance(given, Failed):
                if not told.done():
                    told.set_exception(given.error)
            elif told.done():
                self._forsaken(given)
            else:
                told.set_result(given)
        if self._arrived:
            asyncio.get_running_loop().call_soon(self._land)

    def _refuse(self) -> None:
        """Refuses who has waited too long."""
        loop = asyncio.get_running_loop()
        now, self._watch = loop.time(), None
        for told, (_, until) in list(self._waiting.items()):
            if until > now:
                self._watch = loop.call_at(until, self._refuse)
                break
            del self._waiting[told]
            if not told.done():
                told.set_exception(TimeoutError())


def _given(trip: asyncio.Future[Sequence[Given | Failed]], count: int) -> Sequence[Given | Failed]:
    if trip.cancelled():
        return [Failed(TimeoutError())] * count  # the loop is being closed
    error = trip.exception()
    return [Failed(error)] * count if isinstance(error, Exception) else trip.result()

"""A gate in front of a vendor that counts its requests."""

import asyncio
from bisect import insort

from talksy.errors import ProviderUnavailable


class Pace:
    """At most ``most`` requests in any ``seconds``, first come first served; None for any number.

    Each request is given its time when it comes, so that it knows at once how long it would wait.
    """

    def __init__(self, most: int | None, seconds: float = 60.0) -> None:
        self._most = most
        self._seconds = seconds
        self._times: list[float] = []
        """When requests have gone out and will, sorted."""
        self._closed_until = 0.0

    def closed(self, now: float) -> float:
        """Seconds for which the vendor itself asked to be left alone."""
        return max(0.0, self._closed_until - now)

    def close(self, until: float) -> None:
        """Lets nobody through before ``until``, not even those who have their time."""
        self._closed_until = max(self._closed_until, until)

    async def wait(self, patience: float) -> None:
        """Returns when it is this request's turn.

        Raises ``ProviderUnavailable`` at once where that is further off than ``patience`` seconds.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + patience
        while True:
            now = loop.time()
            turn = self.reserve(now, deadline)
            if turn <= now:
                return
            try:
                await asyncio.sleep(turn - now)
            except BaseException:
                self.release(turn)
                raise
            if not self.closed(loop.time()):
                return
            # It was closed meanwhile: the time that was given is void.
            self.release(turn)

    def reserve(self, now: float, deadline: float) -> float:
        """The next free time, which is taken. Raises as ``wait`` does, and takes nothing then."""
        turn = max(now, self._closed_until)
        if self._most is not None:
            oldest = now - self._seconds
            self._times = [time for time in self._times if time > oldest]
            if len(self._times) >= self._most:
                turn = max(turn, self._times[-self._most] + self._seconds)
        if turn > deadline:
            raise ProviderUnavailable(cause="rate_limited", retry_after=turn - now)
        if self._most is not None:
            insort(self._times, turn)
        return turn

    def release(self, turn: float) -> None:
        """Gives back a time that was not used."""
        if self._most is not None and turn in self._times:
            self._times.remove(turn)

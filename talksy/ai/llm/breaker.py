"""A circuit breaker: after a few failures a provider is left alone for a while."""

import random
from collections.abc import Callable

from talksy.ai.llm.base import BreakerState
from talksy.errors import ProviderFault

FAILURES = 5
"""As many in a row open it."""
REST = 10.0
"""Seconds it stays open the first time; each probe that fails doubles them."""
LONG_REST = 60.0
"""Seconds after a refusal that stays until somebody puts a setting right."""
MOST_REST = 300.0
_LASTING = frozenset({"auth", "not_found"})
_JITTER = 0.2
"""Servers that broke together do not come back together."""


class Breaker:
    """Closed, it lets everybody pass. Open, nobody. Half open, one at a time, to see.

    Times are seconds of any clock. A request that the provider refuses for what is in it
    (``invalid``) tells nothing of the provider.
    """

    def __init__(self, changed: Callable[[BreakerState], None] = lambda _: None) -> None:
        self.state: BreakerState = "closed"
        self._changed = changed
        self._failures = 0
        self._rest = REST
        self._until = 0.0
        self._probe: Pass | None = None

    def remaining(self, now: float) -> float:
        """Seconds until somebody may pass."""
        return max(0.0, self._until - now) if self.state == "open" else 0.0

    def enter(self, now: float) -> "Pass | None":
        """Lets a call pass, or does not. Its pass must be told how it went."""
        if self.state == "open" and now >= self._until:
            self._turn("half_open")
        if self.state == "closed":
            return Pass(self)
        if self.state == "open" or self._probe is not None:
            return None
        self._probe = Pass(self)
        return self._probe

    def begun(self, one: "Pass") -> None:
        if one is self._probe:
            # Whole answers close it for good: one that breaks off opens it again.
            self._failures = FAILURES - 1
            self._probe = None
            self._turn("closed")

    def succeeded(self, one: "Pass") -> None:
        self.begun(one)
        if self.state == "closed":
            self._failures, self._rest = 0, REST

    def failed(self, one: "Pass", fault: ProviderFault, now: float) -> None:
        probed = one is self._probe
        self.left(one)
        # Those that passed before it opened bring old news.
        if fault.cause == "invalid" or not (probed or self.state == "closed"):
            return
        self._failures += 1
        if not probed and fault.cause not in _LASTING and self._failures < FAILURES:
            return
        rest = max(self._rest, LONG_REST if fault.cause in _LASTING else 0.0)
        self._rest = min(2 * rest, MOST_REST)
        self._until = now + rest * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311
        self._turn("open")

    def left(self, one: "Pass") -> None:
        if one is self._probe:
            self._probe = None

    def _turn(self, state: BreakerState) -> None:
        self.state = state
        self._changed(state)


class Pass:
    """One call that the breaker has let pass; exactly one of the last three must be said."""

    __slots__ = ("_breaker",)

    def __init__(self, breaker: Breaker) -> None:
        self._breaker = breaker

    def begun(self) -> None:
        """The provider answers."""
        self._breaker.begun(self)

    def succeeded(self) -> None:
        """The answer is whole."""
        self._breaker.succeeded(self)

    def failed(self, fault: ProviderFault, now: float) -> None:
        """There is no answer, or not all of it."""
        self._breaker.failed(self, fault, now)

    def left(self) -> None:
        """Nobody waited for how it went."""
        self._breaker.left(self)

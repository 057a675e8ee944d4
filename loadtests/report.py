"""How users tell what they measured and what they found: as Locust's own requests."""

import logging
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from loadtests.line import Hangup, Refused, Unanswered
from loadtests.turn import Turn

if TYPE_CHECKING:  # importing Locust changes what sockets do
    from locust.event import EventHook

log = logging.getLogger("loadtests")

SOCKET, CHECK, SELF = "SIO", "CHECK", "SELF"
"""Locust's column "type": over the socket, what must hold, and the load test itself."""
LOST, REPEATED, ENDINGS, ANSWERS = "lost", "repeated", "endings", "answers"
UNANSWERED = "unanswered"
EVENTS = "events"
"""What cannot be read."""
READY, BACK = "ready for the storm", "back after the storm"
_TOLD = 5
"""Faults of one kind that are told one by one."""


class Fault(Exception):
    """Something that must hold does not."""

    def __repr__(self) -> str:
        return str(self)


class Report:
    """Counts, over Locust's event."""

    def __init__(self, hook: "EventHook") -> None:
        self._hook = hook
        self._told: Counter[str] = Counter()

    def took(self, name: str, seconds: float, error: Exception | None = None) -> None:
        """Something of the socket took so long, or failed."""
        self._fire(SOCKET, name, seconds * 1000, error)

    def reached(self, name: str, at: float | None, since: float) -> None:
        """As ``took``, up to a moment that may not have come: then it failed."""
        missing = Fault("it did not come") if at is None else None
        self.took(name, (at or time.perf_counter()) - since, missing)

    def lag(self, seconds: float) -> None:
        """The load test came so much later than it wanted."""
        self._fire(SELF, "generator lag", seconds * 1000, None)

    def check(self, name: str, fault: str = "", where: str = "") -> None:
        """One more thing was compared; ``fault`` says what was wrong, ``where`` is for the log."""
        if fault:
            self._told[name] += 1
            if self._told[name] <= _TOLD:
                log.error("%s: %s %s", name, fault, where)
        self._fire(CHECK, name, None, Fault(fault) if fault else None)

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Measures what happens inside; what the server or the line did wrong fails it."""
        began = time.perf_counter()
        try:
            yield
        except (Refused, Hangup, Unanswered, OSError, Fault) as error:
            self.took(name, time.perf_counter() - began, error)
            raise
        self.took(name, time.perf_counter() - began)

    def turn(self, turn: Turn) -> None:
        """Tells what was found of a turn, once it has ended or its time is over."""
        turn.owed = False
        where = f"in turn {turn.turn_id}"
        lost = f"{turn.lost} events of a turn are missing" if turn.lost else ""
        again = f"{turn.repeated} events of a turn came twice, late or after its end"
        endings = f"a turn has {turn.endings} endings" if turn.endings != 1 else ""
        self.check(LOST, lost, where)
        self.check(REPEATED, again if turn.repeated else "", where)
        self.check(ENDINGS, endings, where)
        self.check(ANSWERS, turn.wrong, where)

    def _fire(self, kind: str, name: str, ms: float | None, error: Exception | None) -> None:
        self._hook.fire(
            request_type=kind,
            name=name,
            response_time=ms,
            response_length=0,
            exception=error,
            context={},
        )

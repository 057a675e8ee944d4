"""What the users of one process have in common while a run lasts."""

import logging
from collections.abc import Callable
from typing import Any

from gevent.event import Event
from locust.env import Environment
from locust.runners import WorkerRunner

from loadtests.line import Refused

log = logging.getLogger("loadtests")

FATAL, CUT = "loadtests_fatal", "loadtests_cut"
"""Messages between the processes of a run."""


class Run:
    """Ends everything when going on would say nothing, and lets a storm begin."""

    def __init__(self) -> None:
        self.fatal = ""
        """Why the run must end, in a line."""
        self.cut = Event()
        """The storm has begun."""
        self._environment: Environment | None = None

    def attach(self, environment: Environment) -> None:
        """Lets it hear and speak; called once, when Locust has its runner."""
        self._environment = environment
        runner = environment.runner
        if runner is None:
            return
        runner.register_message(FATAL, self._heard_fatal)
        runner.register_message(CUT, self._heard_cut)

    def begin(self) -> None:
        """Forgets the run before."""
        self.fatal = ""
        self.cut.clear()

    def end(self, why: str) -> None:
        """Ends the run on all machines; the first reason counts."""
        if self.fatal:
            return
        self.fatal = why
        if self._environment is None or self._environment.runner is None:
            return
        self._environment.stop_timeout = 0.0
        if isinstance(self._environment.runner, WorkerRunner):
            self._environment.runner.send_message(FATAL, {"why": why})

    def storm(self) -> None:
        """Tells all processes that everybody is cut off now."""
        if self._environment is not None and self._environment.runner is not None:
            self._environment.runner.send_message(CUT, {})
        self.cut.set()

    def _heard_fatal(self, msg: Any, **_: Any) -> None:
        self.end(str(msg.data["why"]))

    def _heard_cut(self, **_: Any) -> None:
        self.cut.set()

    def refused(self, error: Refused) -> None:
        """Ends the run where a limit was left too low: what would follow measures that alone."""
        if setting := wanted(error):
            self.refuse(error, setting)

    def refuse(self, what: Refused | str, setting: str) -> None:
        """Ends the run where ``setting`` was left too low."""
        self.end(f"the server refuses ({what}): raise {setting} there for a load test")


_BY_WORDS: tuple[tuple[Callable[[Refused], bool], str], ...] = (
    (lambda e: "messages" in e.message, "RATE_LIMIT_MAX_REQUESTS (or lower RATE_LIMIT_WINDOW_MS)"),
    (lambda e: "reads" in e.message, "RATE_LIMIT_READS_PER_MINUTE"),
    (lambda e: "connects" in e.message, "RATE_LIMIT_READS_PER_MINUTE"),
    (lambda e: "address has" in e.message, "MAX_SOCKETS_PER_ADDRESS"),
    (lambda e: "connections" in e.message, "MAX_SOCKETS_PER_USER"),
    (lambda e: "sessions" in e.message, "MAX_SESSIONS_PER_USER and MAX_SESSIONS_PER_NODE"),
)


def wanted(error: Refused) -> str:
    """The setting to raise, where a limit refused; empty where it is something else."""
    match error.code:
        case "TOOL_BUSY":
            return "TOOL_MAX_CONCURRENT_PER_USER and TOOL_MAX_CONCURRENT_PER_NODE"
        case "RATE_LIMITED" | "SESSION_LIMIT":
            found = (name for fits, name in _BY_WORDS if fits(error))
            return next(found, "RATE_LIMIT_MAX_REQUESTS and MAX_SOCKETS_PER_ADDRESS")
        case _:
            return ""


RUN = Run()

"""How many come, and when: one shape for Locust, with a plan for each kind of run."""

from collections.abc import Callable
from typing import Any, ClassVar, Protocol

from locust import LoadTestShape
from locust.runners import WORKER_REPORT_INTERVAL, MasterRunner, Runner

from loadtests.options import Options
from loadtests.people import OPTIONS
from loadtests.report import BACK, CHECK, ENDINGS, READY, SOCKET
from loadtests.run import RUN
from loadtests.thresholds import HTTP, NOTHING, Row, Samples, broken, counted, judged, since
from loadtests.verdict import lag_line
from loadtests.watch import Meters

ENOUGH = 5
"""Samples without which a p95 says nothing. A server that is too slow gives few: not too many."""
HOMEWARD = 100.0
"""Users a second who go home in the end."""
STORM_SECONDS = 120.0
"""So long everybody may take to be back."""


class Plan(Protocol):
    """What a run does. ``told`` is what it found, for the end."""

    told: list[str]

    def tick(self, seconds: float, runner: Any) -> tuple[int, float] | None:
        """How many users there are to be, and how many come a second; None when it is over."""


class Steady:
    """So many, for so long."""

    def __init__(self, users: int, rate: float, seconds: float) -> None:
        self.told: list[str] = []
        self._order = users, rate
        self._seconds = seconds

    def tick(self, seconds: float, runner: Any) -> tuple[int, float] | None:  # noqa: ARG002
        """As asked."""
        return self._order if seconds < self._seconds else None


class Ramp:
    """More and more, until something is beyond its threshold: the users before that are what the
    server bears. Each step is judged by itself, by what came in its second half.
    """

    def __init__(self, users: int, options: Options, meter: Callable[[], Meters]) -> None:
        self.told: list[str] = []
        self.borne = 0
        self._meter = meter
        self._users = users
        self._options = options
        self._now = min(options.step, users)
        self._next = options.step_seconds
        self._rate = max(1.0, 4 * options.step / options.step_seconds)
        self._before: Samples = {}
        self._meters: Meters | None = None

    def tick(self, seconds: float, runner: Any) -> tuple[int, float] | None:
        """Adds a step each time the last one held."""
        if seconds < self._next - self._options.step_seconds / 2:
            return self._now, self._rate
        if self._meters is None:
            self._before, self._meters = counted(runner.stats), self._meter()
        if seconds >= self._next and not self._stepped(runner):
            return None
        return self._now, self._rate

    def _stepped(self, runner: Any) -> bool:
        """Whether there is another step to make."""
        lately = since(counted(runner.stats), self._before)
        rows = judged(lately, list(self._options.mix), slack=self._options.slack)
        lines = [*(self._meters.lines() if self._meters else []), lag_line(lately)]
        print(f"{self._now} users:", *(f"  {line}" for line in lines if line), sep="\n", flush=True)
        beyond = broken(rows, ENOUGH) + [row for row in rows if _unforgivable(row)]
        endings = [row.samples for row in rows if row.threshold.name == ENDINGS]
        if endings and not any(endings):
            return self._broke("no answer came to its end")
        if not any(row.samples for row in rows):
            return self._broke("nothing was measured")
        if beyond:
            names = ", ".join(f"{_named(row)} {row.value:.0f}" for row in beyond)
            return self._broke(f"beyond its threshold: {names}")
        self.borne = self._now
        print("  borne", flush=True)
        if self._now >= self._users:
            self.told.append(f"capacity: at least {self.borne} users; USERS={self._users} held")
            return False
        self._now = min(self._now + self._options.step, self._users)
        self._next += self._options.step_seconds
        self._meters = None
        return True

    def _broke(self, why: str) -> bool:
        self.told.append(f"at {self._now} users {why}")
        self.told.append(f"capacity: {self.borne} users")
        return False


class Storm:
    """All are connected and read; all are cut off at once; all must be back."""

    def __init__(self, users: int, rate: float, seconds: float) -> None:
        self.told: list[str] = []
        self._order = users, rate
        self._users = users
        self._seconds = seconds
        self._cut: float | None = None
        self._back: float | None = None

    def tick(self, seconds: float, runner: Any) -> tuple[int, float] | None:
        """Waits for all, cuts, waits for all."""
        if self._cut is None:
            return self._gathering(seconds, runner)
        back = _samples(runner, BACK)
        if self._back is None and back >= self._users:
            self._back = seconds
            self.told.append(
                f"the storm: {self._users} clients were cut off at once, the last was back after "
                f"{runner.stats.get(BACK, SOCKET).max_response_time / 1000:.1f} s"
            )
        if self._back is not None:
            return self._order if seconds < self._back + 6 else None
        if seconds > self._cut + STORM_SECONDS:
            RUN.end(
                f"{back} of {self._users} clients were back {STORM_SECONDS:g} s after the storm"
            )
        return self._order

    def _gathering(self, seconds: float, runner: Any) -> tuple[int, float]:
        ready = _samples(runner, READY)
        if ready >= self._users:
            self._cut = seconds
            RUN.storm()
        elif seconds > self._seconds:
            RUN.end(f"only {ready} of {self._users} clients were there after {self._seconds:g} s")
        return self._order


class Shape(LoadTestShape):
    """What Locust asks each second. Users, rate and time are those of its page or its options."""

    use_common_options: ClassVar[bool] = True
    runner: Runner | None

    def reset_time(self) -> None:
        """A run begins."""
        LoadTestShape.reset_time(self)
        self.plan = self._planned()
        self._over_since: float | None = None

    def tick(self) -> tuple[int, float] | None:
        """As the plan says. Then all go home when they have finished what they do; a run that
        must end does not wait for that.
        """
        if RUN.fatal or self.runner is None:
            return None
        if self._over_since is None:
            order = self.plan.tick(self.get_run_time(), self.runner)
            if order is not None:
                return order
            self._over_since = self.get_run_time()
        if self.runner.user_count:
            self._over_since = self.get_run_time()
        elif not self._awaits_workers():
            return None
        return 0, HOMEWARD

    def _awaits_workers(self) -> bool:
        """Workers tell what they have counted every few seconds; nobody asks them for the rest."""
        told = self.get_run_time() - (self._over_since or 0) > WORKER_REPORT_INTERVAL + 1
        return isinstance(self.runner, MasterRunner) and not told

    def _planned(self) -> Plan:
        if self.runner is None:
            raise RuntimeError("a shape without a runner")
        chosen: Any = self.runner.environment.parsed_options
        users, seconds = int(chosen.num_users), float(chosen.run_time)
        rate = float(chosen.spawn_rate)
        match OPTIONS.shape:
            case "ramp":
                url = str(self.runner.environment.host)
                return Ramp(users, OPTIONS, lambda: Meters(url, OPTIONS))
            case "storm":
                return Storm(users, rate, seconds)
            case _:
                return Steady(users, rate, seconds)


def _samples(runner: Any, name: str) -> int:
    return counted(runner.stats).get((SOCKET, name), NOTHING).requests


def _unforgivable(row: Row) -> bool:
    return row.threshold.type == CHECK and row.threshold.statistic == "faults" and row.value > 0


def _named(row: Row) -> str:
    what = row.threshold.name or HTTP
    return f"{what} ({row.threshold.statistic} {row.threshold.said}):"

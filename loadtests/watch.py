"""What is looked at beside the users: whether the server lives, what it does, and ourselves."""

import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import gevent

from loadtests.accounts import asked
from loadtests.line import Hangup, Refused
from loadtests.options import Options
from loadtests.report import Report
from loadtests.run import RUN

LOOK_SECONDS = 1.0
PATIENCE = 5
"""So many looks in a row must fail before the server counts as dead."""
LAG_SECONDS = 0.1
BACK_SECONDS = 30.0
"""So long a node may take to restart."""
_CPU = "process_cpu_seconds_total"


def measure_lag(report: Report) -> None:
    """Tells how late this process is, which all it measures has in it. Ends never."""
    due = time.perf_counter()
    while True:
        due += LAG_SECONDS
        gevent.sleep(max(0.0, due - time.perf_counter()))
        late = time.perf_counter() - due
        report.lag(max(0.0, late))
        due = max(due, time.perf_counter() - LAG_SECONDS)


def watch_server(url: str, ended: Callable[[], bool]) -> None:
    """Ends the run when the server does not answer any more."""
    missed = 0
    while not RUN.fatal and not ended():
        gevent.sleep(LOOK_SECONDS)
        why = _why_silent(url)
        missed = missed + 1 if why else 0
        if missed >= PATIENCE or (why and "refused" in why and missed >= 2):
            RUN.end(f"the server at {url} died in mid-run: {why}")


def _why_silent(url: str) -> str:
    try:
        asked(url, "GET", "/health/live", seconds=5.0)
    except (Hangup, OSError) as error:
        return str(error) or type(error).__name__
    except Refused:
        return ""  # it says no, so it lives
    return ""


class Meters:
    """What /metrics of the nodes says has grown since the start of the run."""

    def __init__(self, url: str, options: Options) -> None:
        self._nodes = options.metrics or (url,)
        self._token = options.metrics_token
        self._used = generators()
        self._began = time.perf_counter()
        self._before = [self._read(node) for node in self._nodes]

    def lines(self) -> list[str]:
        """The CPU of each process and the server's memory."""
        seconds = time.perf_counter() - self._began
        told = []
        for node, before in zip(self._nodes, self._before, strict=True):
            now = self._read(node)
            if not before or not now:
                told.append(f"{node}: its /metrics cannot be read from here")
                continue
            cpu = _sum(now, _CPU)
            if cpu >= _sum(before, _CPU):  # else it has been started again, and counts from there
                cpu -= _sum(before, _CPU)
            memory = _sum(now, "process_resident_memory_bytes") / 2**20
            told.append(
                f"{urlsplit(node).netloc}: {cpu / seconds:.2f} of a core, {memory:.0f} MB"
                + self._peak(node)
            )
        for name, used in generators().items():
            cpu = used - self._used.get(name, 0.0)
            told.append(f"{name}: {cpu / seconds:.2f} of a core")
        return told

    def hits(self) -> tuple[int, int] | None:
        """Of the caches of logins since the start: hits, and all looks; None where unknown."""
        hits = looks = 0
        for node, before in zip(self._nodes, self._before, strict=True):
            now = self._read(node)
            if not before or not now:
                return None
            for name, value in now.items():
                if name.startswith("talksy_auth_cache_lookups_total"):
                    grown = int(value - before.get(name, 0))
                    looks += grown
                    hits += grown if 'result="hit"' in name else 0
        return hits, looks

    def restarted(self) -> list[str]:
        """What is wrong where not every node has restarted since the start of the run. One that is
        on its way up is waited for.
        """
        until = time.perf_counter() + BACK_SECONDS
        ages = {node: _age(node, until) for node in self._nodes}
        troubles = [f"{node} did not come back" for node, age in ages.items() if age is None]
        seconds = time.perf_counter() - self._began
        fresh = sum(age is not None and age < seconds for age in ages.values())
        if not troubles and fresh < len(ages):
            troubles.append(f"only {fresh} of {len(ages)} nodes restarted in that time")
        return troubles

    def _peak(self, node: str) -> str:
        try:
            told: Any = asked(node, "GET", "/health/detailed", seconds=5.0)
            return f", {told['components']['memory']['peakBytes'] / 2**20:.0f} MB at most"
        except (Refused, Hangup, OSError, KeyError, TypeError):
            return ""

    def _read(self, node: str) -> dict[str, float]:
        try:
            return read_metrics(node, self._token)
        except (Refused, Hangup, OSError):
            return {}


def read_metrics(node: str, token: str) -> dict[str, float]:
    """The series of a node by name and labels. Raises ``Refused``, ``Hangup`` or ``OSError``."""
    text = str(asked(node, "GET", "/metrics", token=token, seconds=5.0))
    lines = (line.rsplit(" ", 1) for line in text.splitlines() if line and line[0] != "#")
    return {name: float(value) for name, value in lines}


def _age(node: str, until: float) -> float | None:
    """For how many seconds a node has been up, as soon as it says so; None where it never does."""
    while True:
        try:
            return float(asked(node, "GET", "/health", seconds=5.0)["uptime"])
        except (Refused, Hangup, OSError, KeyError, TypeError):
            if time.perf_counter() > until:
                return None
            gevent.sleep(0.2)


def _sum(series: dict[str, float], name: str) -> float:
    return sum(value for key, value in series.items() if key.partition("{")[0] == name)


class Workers:
    """The processors' seconds of the processes that make the load for this one, by their names."""

    def __init__(self) -> None:
        self.used: dict[str, float] = {}
        self._began = 0.0

    def begin(self) -> None:
        """A run begins."""
        self.used = {}
        self._began = time.process_time()

    def report(self, data: dict[str, Any], **_: Any) -> None:
        """A worker adds its own to what it tells."""
        data["cpu"] = time.process_time() - self._began

    def heard(self, client_id: str, data: Mapping[str, Any], **_: Any) -> None:
        """What a worker told."""
        self.used[client_id] = float(data["cpu"])


WORKERS = Workers()


def generators() -> dict[str, float]:
    """Seconds of a processor that this process and its workers have used, by name."""
    workers = {f"worker {name}": used for name, used in WORKERS.used.items()}
    return {"this process (the generator)": time.process_time(), **workers}

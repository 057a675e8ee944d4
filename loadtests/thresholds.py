"""What a run must keep to, in one table, and whether it did."""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from loadtests.report import (
    ANSWERS,
    BACK,
    CHECK,
    ENDINGS,
    EVENTS,
    LOST,
    REPEATED,
    SOCKET,
    UNANSWERED,
)

if TYPE_CHECKING:  # importing Locust changes what sockets do
    from locust.stats import RequestStats

Statistic = Literal["p95", "p99", "success", "faults", "ratio"]
"""``success`` is a share of the samples in %, at least; ``faults`` are counted, at most; ``ratio``
is a share in % of something that is no request, at least; the others are ms, at most.
"""
HTTP = "HTTP"
"""All methods together."""
EVERYBODY: tuple[str, ...] = ()
ASKERS = ("chat", "stream", "upgrade", "resume", "devices", "tools", "approve", "storm")
TURNS = (*ASKERS, "speak", "limiter")
SOCKETS = (*TURNS, "read")
TALKERS = tuple(kind for kind in SOCKETS if kind != "upgrade")
STREAMS = ("stream", "upgrade")


@dataclass(frozen=True)
class Threshold:
    """One line. ``kinds`` are the users without whom there is nothing to measure; ``always`` counts
    in storms and rolling restarts, too; ``silent`` is counted only where it goes wrong.
    """

    type: str
    name: str
    statistic: Statistic
    bound: float
    kinds: Collection[str] = EVERYBODY
    always: bool = False
    silent: bool = False

    @property
    def unit(self) -> str:
        """Of the bound."""
        return {"success": "%", "ratio": "%", "faults": ""}.get(self.statistic, "ms")

    @property
    def said(self) -> str:
        """The bound in words."""
        least = self.statistic in {"success", "ratio"}
        return f"{'≥' if least else '≤'} {self.bound:g} {self.unit}".rstrip()

    def holds(self, value: float) -> bool:
        """Whether a value keeps to it."""
        if self.statistic in {"success", "ratio"}:
            return value >= self.bound
        return value <= self.bound


def _within(type_: str, name: str, kinds: Collection[str], **bounds: float) -> list[Threshold]:
    return [
        Threshold(type_, name, statistic, bound, kinds)  # type: ignore[arg-type] # its keys
        for statistic, bound in bounds.items()
    ]


def _must(name: str, kinds: Collection[str], *, silent: bool = False) -> Threshold:
    return Threshold(CHECK, name, "faults", 0, kinds, always=True, silent=silent)


CACHE_HITS = Threshold("CACHE", "auth cache hits", "ratio", 80, ("account",))
TABLE: tuple[Threshold, ...] = (
    *_within(SOCKET, "connect", TALKERS, p95=500, success=99),
    *_within(SOCKET, "connect and upgrade", ("upgrade",), p95=500, success=99),
    *_within(SOCKET, "session event", SOCKETS, p95=500, success=99),
    *_within(SOCKET, "ack", ASKERS, p95=100, success=99),
    *_within(SOCKET, "answer", ("chat",), p95=500, success=99),
    *_within(SOCKET, "stream start", STREAMS, p95=200, success=99),
    *_within(SOCKET, "first chunk", STREAMS, p95=200, success=99),
    *_within(SOCKET, "longest chunk gap", ("stream",), p95=250),
    *_within(SOCKET, "whole turn", STREAMS, p95=2_000, success=99),
    *_within(SOCKET, "resume", ("resume",), p95=500, success=99),
    *_within(SOCKET, "history", ("read",), p95=500, success=99),
    *_within(SOCKET, "session info", ("read",), p95=500, success=99),
    *_within(SOCKET, "tool", ("tools",), p95=500, success=99),
    *_within(SOCKET, "approved tool", ("approve",), p95=1_000, success=99),
    *_within(SOCKET, "mouth to ear", ("speak",), p95=2_000, success=99),
    *_within(HTTP, "/", ("read",), p95=50, p99=100),
    *_within(HTTP, "/health", ("read",), p95=50, p99=100),
    *_within(HTTP, "/health/detailed", ("read",), p95=100, p99=200),
    *_within(HTTP, "/auth/me warm", ("account",), p95=50, p99=100),
    *_within(HTTP, "/auth/me cold", ("account",), p95=100, p99=200),
    *_within(HTTP, "/auth/refresh", ("account",), p95=200, p99=400),
    *_within(HTTP, "/auth/logout", ("account",), p95=100, p99=200),
    *_within(HTTP, "/auth/login", ("account",), p95=1_500, p99=2_000),
    *_within(HTTP, "/auth/register", ("account",), p95=2_000, p99=3_000),
    *_within(HTTP, "", ("account", "read"), success=99),
    CACHE_HITS,
    _must(LOST, TURNS),
    _must(REPEATED, TURNS),
    _must(ENDINGS, TURNS),
    _must(ANSWERS, TURNS),
    _must(UNANSWERED, SOCKETS, silent=True),
    _must(EVENTS, SOCKETS, silent=True),
    _must("strangers", SOCKETS, silent=True),
    _must("hang-ups", SOCKETS, silent=True),
    _must("token renewals", SOCKETS, silent=True),
    _must("sessions", ("upgrade", "resume", "devices", "approve", "storm")),
    _must("history", ("chat", "stream")),
    _must("duplicates", ("resume",)),
    _must("devices", ("devices",)),
    _must("identities", ("account",)),
    _must("tool results", ("tools",)),
    _must("approvals", ("approve",)),
    _must("limiter", ("limiter",)),
    _must("sound", ("speak",)),
    Threshold(CHECK, "tasks", "success", 99, EVERYBODY, always=True),
    Threshold(SOCKET, BACK, "success", 100, ("storm",), always=True),
)


@dataclass(frozen=True)
class Sample:
    """What was counted under a name, since the start or in a while."""

    requests: int
    failures: int
    times: Mapping[int, int]
    """How often it took so many ms, rounded to two digits."""

    def __sub__(self, before: "Sample") -> "Sample":
        times = Counter(self.times)
        times.subtract(before.times)
        return Sample(
            self.requests - before.requests,
            self.failures - before.failures,
            {ms: count for ms, count in times.items() if count > 0},
        )

    def __add__(self, other: "Sample") -> "Sample":
        times = Counter(self.times)
        times.update(other.times)
        return Sample(self.requests + other.requests, self.failures + other.failures, times)

    def value(self, statistic: Statistic) -> float:
        """Nothing counted is ``nan``."""
        if statistic == "faults":
            return self.failures
        if statistic == "success":
            return 100 * (1 - self.failures / self.requests) if self.requests else math.nan
        return _percentile(self.times, {"p95": 0.95, "p99": 0.99}[statistic])


def _percentile(times: Mapping[int, int], share: float) -> float:
    """The time that ``share`` of the samples took at most. One outlier of few is no percentile: of
    two or more the longest is always left out.
    """
    count = sum(times.values())
    if not count:
        return math.nan
    due = max(1, min(math.ceil(count * share), count - 1))
    for ms in sorted(times):
        due -= times[ms]
        if due <= 0:
            return ms
    return math.nan


NOTHING = Sample(0, 0, {})
Samples = Mapping[tuple[str, str], Sample]


def counted(stats: "RequestStats") -> Samples:
    """All that was counted so far, by type and name; HTTP's methods are one, "" is all of HTTP."""
    found: dict[tuple[str, str], Sample] = {}
    for (name, kind), entry in stats.entries.items():
        sample = Sample(entry.num_requests, entry.num_failures, dict(entry.response_times))
        web = kind not in {SOCKET, CHECK, "SELF"}
        for key in [(HTTP, name), (HTTP, "")] if web else [(kind, name)]:
            found[key] = found.get(key, NOTHING) + sample
    return found


def since(now: Samples, before: Samples) -> Samples:
    """What was counted between."""
    return {key: sample - before.get(key, NOTHING) for key, sample in now.items()}


@dataclass(frozen=True)
class Row:
    """A threshold, and what was measured."""

    threshold: Threshold
    value: float
    samples: int

    @property
    def measured(self) -> bool:
        """Whether there was anything to measure."""
        return bool(self.samples) or self.threshold.silent

    @property
    def ok(self) -> bool:
        """Measured, and within its bound."""
        return self.measured and self.threshold.holds(self.value)


def judged(
    samples: Samples,
    kinds: Collection[str],
    *,
    steady: bool = True,
    hits: tuple[int, int] | None = None,
    slack: float = 1.0,
) -> list[Row]:
    """The rows that a run with these kinds of users must show, with ``slack`` times the ms.

    ``hits`` are those of the cache and all looks into it; None where they are not asked for.
    """
    rows = []
    for threshold in TABLE:
        if threshold.kinds and not set(threshold.kinds) & set(kinds):
            continue
        if not steady and not threshold.always:
            continue
        if threshold is CACHE_HITS:
            if hits is not None:
                value = 100 * hits[0] / hits[1] if hits[1] else math.nan
                rows.append(Row(threshold, value, hits[1]))
            continue
        if threshold.name == "hang-ups" and not steady:
            continue
        if threshold.unit == "ms":
            threshold = replace(threshold, bound=threshold.bound * slack)
        sample = samples.get((threshold.type, threshold.name), NOTHING)
        rows.append(Row(threshold, sample.value(threshold.statistic), sample.requests))
    return rows


def broken(rows: Iterable[Row], least: int) -> list[Row]:
    """Those that are beyond their bound, where there were enough samples to tell."""
    return [row for row in rows if row.samples >= least and not row.threshold.holds(row.value)]

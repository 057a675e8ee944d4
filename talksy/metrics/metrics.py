"""The numbers of a node, under the names that ``/metrics`` shows."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

from talksy.metrics.providers import CallMetrics, ProviderMetrics
from talksy.metrics.results import Counted, Results
from talksy.metrics.tally import Reading, Tally, Values
from talksy.metrics.tools import ToolMetrics
from talksy.metrics.turns import TurnMetrics
from talksy.metrics.voice import VoiceMetrics

# A series beside each counter that says when it was made: nobody reads them.
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]

LAG_SECONDS = 0.25
"""How often the event loop is asked how late it is."""
LAGS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
REQUESTS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
TRANSACTIONS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
EVENT = re.compile(r"[a-z_]{1,40}")


class Metrics:
    """What one node counts. Every part that counts is handed it; there is none for all.

    No label comes from outside as it is: no id, no address, no path, no name of a model that the
    configuration does not have.
    """

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        GCCollector(registry=registry)
        self.providers = ProviderMetrics(registry)
        self.turns = TurnMetrics(registry, self.providers)
        self.tools = ToolMetrics(registry)
        self.voice = VoiceMetrics(registry)
        self.stt = CallMetrics(registry, "talksy_stt", "first_text")
        self.tts = CallMetrics(registry, "talksy_tts", "first_sound")
        self.counter("talksy_chunks", "Chunks of streamed answers.", lambda: self.turns.chunks)
        self._info = Gauge(
            "talksy_info", "1, with what runs here.", ("version", "database"), registry=registry
        )
        attempts = Counter(
            "talksy_auth_attempts",
            "Registrations, logins, refreshes, connects and the like, by how they went.",
            ("action", "result"),
            registry=registry,
        )
        self._attempts = Results(attempts)
        self._requests = Counter(
            "talksy_http_requests",
            "REST requests; what is below /socket.io is not among them.",
            ("route", "method", "status"),
            registry=registry,
        )
        self._request_seconds = Histogram(
            "talksy_http_request_seconds",
            "How long a REST request took.",
            ("route",),
            buckets=REQUESTS,
            registry=registry,
        )
        self._transactions = Histogram(
            "talksy_database_seconds",
            "How long a transaction took, the wait for its turn included.",
            ("kind",),
            buckets=TRANSACTIONS,
            registry=registry,
        )
        self._overloads = Counter(
            "talksy_database_overloads",
            "Transactions that were refused or lost since the database was busy or away.",
            ("kind",),
            registry=registry,
        )
        self._slow = Counter(
            "talksy_slow_consumers",
            "Sockets that were closed since they did not read.",
            ("why",),
            registry=registry,
        )
        self._violations = Counter(
            "talksy_protocol_violations",
            "Sockets that were closed for what they sent, or did not.",
            ("why",),
            registry=registry,
        )
        self._lines = Counter(
            "talksy_log_lines",
            "Lines that Talksy logged at warning or above, by their event.",
            ("level", "event"),
            registry=registry,
        )
        self._lag = Tally(
            registry, "talksy_loop_lag_seconds", "How late the event loop wakes, sampled.", LAGS
        )

    # ---- what is read when somebody looks

    def counter(
        self,
        name: str,
        help: str,  # noqa: A002 - Prometheus's word
        read: Callable[[], float | Values],
        labels: Sequence[str] = (),
    ) -> None:
        """A number that only grows and is kept elsewhere."""
        self._registry.register(Reading(CounterMetricFamily, name, help, read, labels))

    def gauge(
        self,
        name: str,
        help: str,  # noqa: A002 - Prometheus's word
        read: Callable[[], float | Values],
        labels: Sequence[str] = (),
    ) -> None:
        """A number that is kept elsewhere."""
        self._registry.register(Reading(GaugeMetricFamily, name, help, read, labels))

    def render(self) -> tuple[bytes, str]:
        """All there is, in Prometheus's text format, and its content type."""
        return generate_latest(self._registry), CONTENT_TYPE_PLAIN_0_0_4

    # ---- what is told when it happens

    def runs(self, version: str, database: str) -> None:
        """What runs here."""
        self._info.labels(version, database).set(1)

    def attempt(self, action: str) -> AbstractContextManager[None]:
        """Counts how the block ends: ``ok``, with a code of ``talksy.errors`` or in ``error``."""
        return Counted(self._attempts, action)

    def request(self, route: str | None, method: str, status: int, seconds: float) -> None:
        """A REST request was answered. ``route`` is the pattern that fitted, None for none."""
        shown = route or "none"
        known = method if method in METHODS else "other"
        self._requests.labels(shown, known, f"{status // 100}xx").inc()
        self._request_seconds.labels(shown).observe(seconds)

    def transaction(self, kind: str, seconds: float, *, overloaded: bool) -> None:
        """A transaction, ``read`` or ``write``, has ended."""
        self._transactions.labels(kind).observe(seconds)
        self._overloads.labels(kind).inc(overloaded)

    def slow_consumer(self, why: str) -> None:
        """A socket is closed since it does not read."""
        self._slow.labels(why).inc()

    def violation(self, why: str) -> None:
        """A socket is closed since it broke the protocol; ``why`` is a word of the code."""
        self._violations.labels(why).inc()

    # ---- what is watched while the node is open

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Looks at the event loop and at the log until the block ends."""
        lines = _Lines(self._lines)
        ours = logging.getLogger("talksy")
        ours.addHandler(lines)
        task = asyncio.create_task(self._look(), name="loop lag")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            ours.removeHandler(lines)

    async def _look(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + LAG_SECONDS
            await asyncio.sleep(LAG_SECONDS)
            self._lag.add(max(0.0, loop.time() - due))


class _Lines(logging.Handler):
    """Counts lines by their event, which is a word of the code; what is none is ``other``."""

    def __init__(self, lines: Counter) -> None:
        super().__init__(logging.WARNING)
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        event = record.msg.get("event") if isinstance(record.msg, dict) else None
        word = event if isinstance(event, str) and EVENT.fullmatch(event) else "other"
        self._lines.labels(record.levelname.lower(), word).inc()

"""What tools do."""

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.registry import CollectorRegistry

from talksy.metrics.results import code_label

MAX_NAMES = 1_000
"""Servers of tools may change their lists for ever: what comes later is ``other``."""
OTHER = "other"
SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
WAITS = (0.001, 0.01, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0)


class ToolMetrics:
    """The ``ToolWatcher`` of a node's tools. It is told of those that are registered, no others."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._names: set[str] = set()
        self._calls = Counter(
            "talksy_tool_calls",
            "Calls of tools by how they ended: done, cancelled or the code of the error.",
            ("tool", "outcome"),
            registry=registry,
        )
        self._seconds = Histogram(
            "talksy_tool_seconds",
            "How long a call ran.",
            ("tool",),
            buckets=SECONDS,
            registry=registry,
        )
        self._waits = Histogram(
            "talksy_tool_wait_seconds",
            "How long a call waited for room, those that got none included.",
            ("tool",),
            buckets=WAITS,
            registry=registry,
        )
        self._running = Gauge(
            "talksy_tools_running",
            "Calls that hold room; those that do not end when they are told to are among them.",
            ("tool",),
            registry=registry,
        )
        self._held = Counter(
            "talksy_tool_held_loop",
            "How often a tool let nothing else go on for more than 100 ms.",
            ("tool",),
            registry=registry,
        )

    def began(self, tool: str, waited: float) -> None:
        """A call begins."""
        name = self._name(tool)
        self._waits.labels(name).observe(waited)
        self._running.labels(name).inc()

    def ended(self, tool: str, outcome: str, seconds: float) -> None:
        """A call is answered."""
        name = self._name(tool)
        label = outcome if outcome in ("done", "cancelled") else code_label(outcome)
        self._calls.labels(name, label).inc()
        self._seconds.labels(name).observe(seconds)

    def stopped(self, tool: str) -> None:
        """The work of a call has ended."""
        self._running.labels(self._name(tool)).dec()

    def refused(self, tool: str, waited: float) -> None:
        """There was no room for a call."""
        name = self._name(tool)
        self._waits.labels(name).observe(waited)
        self._calls.labels(name, "TOOL_BUSY").inc()

    def held_loop(self, tool: str, seconds: float) -> None:  # noqa: ARG002 - the log has them
        """A tool held the loop."""
        self._held.labels(self._name(tool)).inc()

    def _name(self, tool: str) -> str:
        if tool not in self._names:
            if len(self._names) >= MAX_NAMES:
                return OTHER
            self._names.add(tool)
        return tool

"""What the vendors of models do, and those who hear and speak."""

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.registry import CollectorRegistry

from talksy.messages import Usage

NAMES = ("provider", "model")
OTHER = ("other", "other")
STATES = ("closed", "half_open", "open")
CALLS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0)
FIRST = (0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0)


class CallMetrics:
    """The ``Watcher`` of what a node has of one kind.

    Labels are the names that ``know`` was told, those of the configuration; any other is
    ``other``, so that nothing that comes from outside makes a series.
    """

    def __init__(self, registry: CollectorRegistry, prefix: str, first: str) -> None:
        """``first`` is what an answer begins with, as a part of a name."""
        self._known: set[tuple[str, str]] = set()
        self._calls = Counter(
            f"{prefix}_calls",
            "Calls of a provider by how they ended; each attempt is one.",
            (*NAMES, "outcome"),
            registry=registry,
        )
        self._seconds = Histogram(
            f"{prefix}_call_seconds",
            "How long a call of a provider took, its answer included.",
            NAMES,
            buckets=CALLS,
            registry=registry,
        )
        self._first = Histogram(
            f"{prefix}_{first}_seconds",
            "How long a provider took to begin its answer.",
            NAMES,
            buckets=FIRST,
            registry=registry,
        )
        self._retries = Counter(
            f"{prefix}_retries", "Calls that were made again.", NAMES, registry=registry
        )
        self._fallbacks = Counter(
            f"{prefix}_fallbacks",
            "Answers that another provider gave in this one's place; reset: text of it was void.",
            (*NAMES, "reset"),
            registry=registry,
        )
        self._breaker = Gauge(
            f"{prefix}_breaker_state",
            "1 for the state that the provider's circuit breaker is in.",
            (*NAMES, "state"),
            registry=registry,
        )

    def know(self, provider: str, model: str) -> None:
        """One of the configuration: its series begin at zero."""
        self._known.add((provider, model))
        self._calls.labels(provider, model, "ok")
        self._retries.labels(provider, model)
        self.breaker(provider, model, "closed")

    def _names(self, provider: str | None, model: str | None) -> tuple[str, str]:
        names = (provider or "", model or "")
        return names if names in self._known else OTHER

    # ---- what a ``Watcher`` is told

    def called(self, provider: str, model: str, outcome: str, seconds: float) -> None:
        """A call has ended."""
        names = self._names(provider, model)
        self._calls.labels(*names, outcome).inc()
        self._seconds.labels(*names).observe(seconds)

    def first_token(self, provider: str, model: str, seconds: float) -> None:
        """The first text of a call has come, or its first sound."""
        self._first.labels(*self._names(provider, model)).observe(seconds)

    def retried(self, provider: str, model: str) -> None:
        """A call is made again."""
        self._retries.labels(*self._names(provider, model)).inc()

    def moved(self, provider: str, model: str, *, reset: bool) -> None:
        """The next provider answers in this one's place."""
        self._fallbacks.labels(*self._names(provider, model), str(reset).lower()).inc()

    def breaker(self, provider: str, model: str, state: str) -> None:
        """A circuit breaker has changed."""
        names = self._names(provider, model)
        for each in STATES:
            self._breaker.labels(*names, each).set(each == state)


class ProviderMetrics(CallMetrics):
    """The ``Watcher`` of a node's models."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry, "talksy_provider", "first_token")
        self._tokens = Counter(
            "talksy_tokens",
            "Tokens that models have read (input) and written (output).",
            (*NAMES, "direction"),
            registry=registry,
        )

    def used(self, provider: str | None, model: str | None, usage: Usage) -> None:
        """What an answer cost."""
        names = self._names(provider, model)
        self._tokens.labels(*names, "input").inc(usage.input_tokens)
        self._tokens.labels(*names, "output").inc(usage.output_tokens)

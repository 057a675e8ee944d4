"""A histogram for the hot path, and what is only read when somebody looks."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector, CollectorRegistry


class Tally(Collector):
    """A histogram of one thread: no lock and no labels, a fifth of what the library's costs."""

    __slots__ = ("_help", "_name", "bounds", "counts", "total")

    def __init__(
        self,
        registry: CollectorRegistry,
        name: str,
        help: str,  # noqa: A002 - Prometheus's word
        bounds: Sequence[float],
    ) -> None:
        self._name = name
        self._help = help
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0
        registry.register(self)

    def add(self, value: float) -> None:
        """Counts a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    @property
    def count(self) -> int:
        """How many values there were."""
        return sum(self.counts)

    def collect(self) -> Iterable[Metric]:
        family = HistogramMetricFamily(self._name, self._help)
        buckets, sum_so_far = [], 0
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            sum_so_far += count
            buckets.append((bound, float(sum_so_far)))
        family.add_metric([], buckets, self.total)
        yield family


Values = Mapping[tuple[str, ...], float]
"""What is read, by the values of its labels."""


class Reading(Collector):
    """Numbers that a part of the house keeps itself."""

    def __init__(
        self,
        kind: type[CounterMetricFamily] | type[GaugeMetricFamily],
        name: str,
        help: str,  # noqa: A002 - Prometheus's word
        read: Callable[[], float | Values],
        labels: Sequence[str],
    ) -> None:
        self._kind = kind
        self._name = name
        self._help = help
        self._read = read
        self._labels = tuple(labels)

    def collect(self) -> Iterable[Metric]:
        family = self._kind(self._name, self._help, labels=self._labels)
        value = self._read()
        values = value if isinstance(value, Mapping) else {(): value}
        for labels, number in values.items():
            family.add_metric(labels, number)
        yield family

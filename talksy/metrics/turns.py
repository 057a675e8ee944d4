"""What turns tell: how they end, how fast they speak, what they cost."""

from time import perf_counter
from typing import get_args

from prometheus_client import Counter, Histogram
from prometheus_client.registry import CollectorRegistry

from talksy.events import Ending, Reason
from talksy.metrics.providers import ProviderMetrics
from talksy.metrics.results import code_label
from talksy.metrics.tally import Tally

GAPS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0)
FIRST = (0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 60.0)
WHOLE = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0)


class Pulse:
    """The rhythm of one turn, from its start on this node."""

    __slots__ = ("_began", "_gaps", "_last", "_tally")

    def __init__(self, first: Tally, gaps: Tally) -> None:
        self._tally = first
        self._gaps = gaps
        self._began = self._last = perf_counter()

    def beat(self) -> None:
        """A chunk has come. Once a chunk, it is to cost next to nothing."""
        now = perf_counter()
        self._tally.add(now - self._last)
        self._tally = self._gaps
        self._last = now

    @property
    def seconds(self) -> float:
        """How long ago that was."""
        return perf_counter() - self._began


class TurnMetrics:
    """The turns of a node."""

    def __init__(self, registry: CollectorRegistry, providers: ProviderMetrics) -> None:
        self._providers = providers
        self._first = Tally(
            registry,
            "talksy_turn_first_chunk_seconds",
            "From the start of a streamed turn to its first chunk.",
            FIRST,
        )
        self._gaps = Tally(
            registry, "talksy_turn_gap_seconds", "Between two chunks of a streamed turn.", GAPS
        )
        turns = Counter(
            "talksy_turns",
            "Turns that have ended.",
            ("reason", "streamed"),
            registry=registry,
        )
        seconds = Histogram(
            "talksy_turn_seconds",
            "From a turn's start to its ending.",
            ("reason",),
            buckets=WHOLE,
            registry=registry,
        )
        self._turns = {
            (reason, streamed): turns.labels(reason, str(streamed).lower())
            for reason in get_args(Reason)
            for streamed in (True, False)
        }
        self._seconds = {reason: seconds.labels(reason) for reason in get_args(Reason)}
        self._failures = Counter(
            "talksy_turn_failures",
            "Turns that failed, by the code their readers were told.",
            ("code",),
            registry=registry,
        )
        self._degraded = Counter(
            "talksy_turns_degraded",
            "Turns answered by a stand-in.",
            registry=registry,
        )
        self._resets = Counter(
            "talksy_turn_resets",
            "Answers that began again, with another provider.",
            registry=registry,
        )

    @property
    def chunks(self) -> int:
        """How many chunks streamed turns were given."""
        return self._first.count + self._gaps.count

    def pulse(self) -> Pulse:
        """For a turn that starts now."""
        return Pulse(self._first, self._gaps)

    def reset(self) -> None:
        """An answer begins again."""
        self._resets.inc()

    def ended(self, ending: Ending, *, streamed: bool, seconds: float | None = None) -> None:
        """A turn has ended, ``seconds`` after it started here; None where it never did."""
        self._turns[ending.reason, streamed].inc()
        if seconds is not None:
            self._seconds[ending.reason].observe(seconds)
        if ending.error is not None:
            self._failures.labels(code_label(ending.error.get("code"))).inc()
        if ending.degraded:
            self._degraded.inc()
        if ending.usage is not None:
            self._providers.used(ending.provider, ending.model, ending.usage)

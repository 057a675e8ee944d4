"""What a node counts, for Prometheus."""

from talksy.metrics.join import joined
from talksy.metrics.metrics import Metrics
from talksy.metrics.providers import ProviderMetrics
from talksy.metrics.tally import Tally, Values
from talksy.metrics.tools import ToolMetrics
from talksy.metrics.turns import Pulse, TurnMetrics

__all__ = [
    "Metrics",
    "ProviderMetrics",
    "Pulse",
    "Tally",
    "ToolMetrics",
    "TurnMetrics",
    "Values",
    "joined",
]

"""What is heard and spoken, and how long it takes between a mouth and an ear."""

from collections.abc import Mapping
from typing import Literal

from prometheus_client import Counter, Histogram
from prometheus_client.registry import CollectorRegistry

STEPS = (0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.5, 2.5, 5.0, 10.0)
_NAMES = {
    "endpointMs": "endpoint",
    "sttMs": "stt",
    "firstTokenMs": "first_token",
    "firstAudioMs": "first_audio",
    "mouthToEarMs": "mouth_to_ear",
}
"""The steps of an ending's ``metrics``, as they are labelled."""


class VoiceMetrics:
    """The microphones of a node."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._steps = Histogram(
            "talksy_voice_seconds",
            "How long each step of a spoken answer took.",
            ("step",),
            buckets=STEPS,
            registry=registry,
        )
        self._utterances = Counter(
            "talksy_voice_utterances",
            "What was said: understood, empty, or failed.",
            ("outcome",),
            registry=registry,
        )
        self._over = Counter(
            "talksy_voice_interruptions",
            "Sounds over the assistant: those that cut it short, and those that were nothing.",
            ("kind",),
            registry=registry,
        )
        self._heard = Counter(
            "talksy_voice_heard_seconds",
            "Sound that came from microphones.",
            registry=registry,
        )
        self._factor = Counter(
            "talksy_voice_recognised_seconds",
            "What recognisers took for it, from the end of what was said to its text.",
            registry=registry,
        )

    def heard(self, seconds: float) -> None:
        """A microphone gave so much sound."""
        self._heard.inc(seconds)

    def understood(self, outcome: Literal["understood", "empty", "failed"], ms: int = 0) -> None:
        """Somebody has said something; its text took so long."""
        self._utterances.labels(outcome).inc()
        self._factor.inc(ms / 1_000)

    def over(self, kind: Literal["barge_in", "false"]) -> None:
        """A sound came over the assistant."""
        self._over.labels(kind).inc()

    def answered(self, steps: Mapping[str, int]) -> None:
        """A spoken answer has ended; milliseconds, as its ending has them."""
        for name, ms in steps.items():
            self._steps.labels(_NAMES[name]).observe(ms / 1_000)

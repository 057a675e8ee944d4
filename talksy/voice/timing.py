"""How long what takes between a mouth and an ear."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from time import monotonic


@dataclass(slots=True)
class Timing:
    """One answer; milliseconds."""

    endpoint_ms: int = 0
    """From the end of speech to the decision that it was over."""
    stt_ms: int = 0
    """From there to its text."""
    asked_at: float = field(default_factory=monotonic)
    first_token_ms: int | None = None
    """From there to the first word of the answer, as written."""
    first_audio_ms: int | None = None
    """And as spoken."""

    def wrote(self) -> None:
        """A word of the answer has come."""
        if self.first_token_ms is None:
            self.first_token_ms = self._since()

    def spoke(self) -> None:
        """A sound of it was sent."""
        if self.first_audio_ms is None:
            self.first_audio_ms = self._since()

    def _since(self) -> int:
        return round(1000 * (monotonic() - self.asked_at))

    def told(self) -> Mapping[str, int]:
        """As the ending of the turn has it."""
        told = {"endpointMs": self.endpoint_ms, "sttMs": self.stt_ms}
        if self.first_token_ms is not None:
            told["firstTokenMs"] = self.first_token_ms
        if self.first_audio_ms is not None:
            told["firstAudioMs"] = self.first_audio_ms
            told["mouthToEarMs"] = self.endpoint_ms + self.stt_ms + self.first_audio_ms
        return told

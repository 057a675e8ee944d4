"""What hears and speaks on this node."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from talksy.ai.llm import Choice
from talksy.ai.stt import Recognizer
from talksy.ai.tts import Synthesizer
from talksy.ai.vad import Detectors
from talksy.ai.wake import WakeEngines
from talksy.errors import ValidationError


@dataclass(frozen=True, slots=True)
class Engines:
    """The engines that are open; the names are those that a profile may ask for."""

    detectors: Detectors
    wake: WakeEngines
    recognizer: Recognizer
    """The usual one."""
    synthesizer: Synthesizer
    recognizers: Mapping[str, Recognizer] = field(default_factory=dict)
    synthesizers: Mapping[str, Synthesizer] = field(default_factory=dict)
    hearers: Sequence[Choice[Recognizer]] = ()
    """How each of them stands."""
    speakers: Sequence[Choice[Synthesizer]] = ()

    def hears(self, name: str | None) -> Recognizer:
        """A recogniser, the usual one unless it is named. Raises ``ValidationError``."""
        if name is None:
            return self.recognizer
        if name not in self.recognizers:
            raise _unknown("stt", self.recognizers)
        return self.recognizers[name]

    def speaks(self, name: str | None) -> Synthesizer:
        """A synthesizer, the usual one unless it is named. Raises ``ValidationError``."""
        if name is None:
            return self.synthesizer
        if name not in self.synthesizers:
            raise _unknown("tts", self.synthesizers)
        return self.synthesizers[name]


def _unknown(field_name: str, known: Mapping[str, object]) -> ValidationError:
    fault = f"is not one of {', '.join(known)}"
    return ValidationError(f"{field_name} {fault}", faults=[(field_name, fault)])

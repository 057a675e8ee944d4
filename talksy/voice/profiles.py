"""Named settings of a voice session: when somebody has spoken, which engines, which wake word.

The models read what a client sends and what is kept of it, both JSON in camelCase; what is not
named here is refused with its path. Bounds are such that any two values go together.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from talksy.ai.stt import LONGEST_MS

Json = Mapping[str, Any]


def _matching(pattern: str, right: str) -> AfterValidator:
    """Refuses what is not as ``pattern`` has it; ``right`` says how it should be."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise PydanticCustomError("form", "must be {right}", {"right": right})
        return value

    return AfterValidator(check)


Name = Annotated[
    str, _matching(r"[a-z0-9][a-z0-9-]{0,63}", "1 to 64 of a-z, 0-9 and -, such as my-desk")
]
Language = Annotated[
    str, _matching(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}", "a language tag such as en or de-AT")
]
Engine = Annotated[
    str, _matching(r"[\x21-\x7e]{1,128}", "an engine's name such as mock or openai:whisper-1")
]
Phrase = Annotated[
    str,
    _matching(r"(?=.{1,64}\Z)[a-z']+( [a-z']+)*", "up to 64 of a-z and ' in words: hey jarvis"),
]
Likelihood = Annotated[float, Field(ge=0, le=1)]


class _Part(BaseModel):
    """Base of all: strict types, no unknown fields."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        alias_generator=to_camel,
        frozen=True,
        populate_by_name=False,
        use_attribute_docstrings=True,
    )


class TurnDetection(_Part):
    """When an utterance begins and ends. Times are milliseconds."""

    type: Literal["server_vad", "none"] = "server_vad"
    """`none`: an utterance lasts from `voice_start` to `voice_stop`."""
    detector: Literal["combined", "silero", "webrtc", "energy"] = "combined"
    """Who hears speech; where it is not installed, the next of these that is."""
    threshold: Likelihood = 0.5
    """From this likelihood on a frame counts as speech."""
    sensitivity: Likelihood | None = None
    """Another way to say `threshold`, which becomes 1 less this."""
    prefix_padding_ms: int = Field(default=300, ge=0, le=2_000)
    """How much of what came before the first word belongs to the utterance."""
    silence_duration_ms: int = Field(default=500, ge=100, le=5_000)
    """A pause of this length ends it."""
    min_speech_ms: int = Field(default=120, ge=0, le=2_000)
    """What is shorter is no speech."""
    max_speech_ms: int = Field(default=60_000, ge=2_000, le=LONGEST_MS - 10_000)
    """What is longer is cut into several utterances, none longer than a recogniser bears."""
    create_response: bool = True
    """Whether an utterance asks for an answer."""
    interrupt_response: bool = True
    """Whether speech interrupts the answer that is being spoken."""
    min_interruption_ms: int = Field(default=300, ge=0, le=2_000)
    """So much speech it takes for that."""

    @model_validator(mode="before")
    @classmethod
    def _translated(cls, given: Any) -> Any:
        match given:
            case {"sensitivity": bool()}:
                return given
            case {"sensitivity": int() | float() as said, **rest} if (
                0 <= said <= 1 and "threshold" not in rest
            ):
                return {**rest, "threshold": round(1 - said, 6)}
        return given

    @field_validator("sensitivity")
    @classmethod
    def _alone(cls, given: float | None, info: ValidationInfo) -> float | None:
        # What could be translated was: this stands beside a threshold.
        if given is not None and "threshold" in info.data:
            raise PydanticCustomError("both", "says the same as threshold: give one of them")
        return given


class WakeWord(_Part):
    """What has to be said before anything is listened to."""

    phrase: Phrase = "jarvis"
    engine: Literal["micro", "keyphrase", "mock"] | None = None
    """Who listens for it; unless it is named, whoever knows the phrase."""
    sensitivity: Likelihood = 0.7
    """The higher, the more often it is heard, rightly or not."""
    listen_ms: int = Field(default=30_000, ge=1_000, le=300_000)
    """How long it is listened for speech then."""


class Profile(_Part):
    """How a voice session hears and speaks."""

    auto_start: bool = True
    """Whether listening starts by itself: for clients, which send `voice_start` when they come, or
    when somebody asks for it; the server listens from `voice_start` on either way."""
    language: Language = "en"
    voice: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    """The voice of the answers, as its engine calls it; unless it is named, the engine's usual."""
    stt: Engine | None = None
    """Who recognises what is said; unless it is named, whoever does so usually."""
    tts: Engine | None = None
    """Who speaks; unless it is named, whoever does so usually."""
    turn_detection: TurnDetection = TurnDetection()
    wake_word: WakeWord | None = None
    """None: everything is listened to."""

    def changes(self) -> dict[str, Any]:
        """What was said of it, and not what it came to by itself: JSON, as it is kept."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)

    def over(self, base: "Profile") -> "Profile":
        """``base`` with everything that was said here in its place, however deep it stands.

        A ``wakeWord`` of None takes away that of the base.
        """
        said = _merged(base.changes(), self.changes())
        return Profile.model_validate({key: said[key] for key in said if key != "base"})


class OwnProfile(Profile):
    """A profile of a user's own: what is said in it stands over its base."""

    base: Literal["vad-triggered", "wake-word"] = "vad-triggered"
    """The built-in profile that has all the rest."""

    def whole(self) -> Profile:
        """What it comes to."""
        return self.over(BUILT_IN[self.base])


def _merged(below: Json, above: Json) -> dict[str, Any]:
    """``above`` over ``below``: objects are merged, all else is replaced."""
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        if isinstance(value, Mapping) and isinstance(under, Mapping):
            value = _merged(under, value)
        merged[key] = value
    return merged


_HEARING = {"turnDetection": {"detector": "combined", "sensitivity": 0.6, "minSpeechMs": 250}}
BUILT_IN: Mapping[str, Profile] = MappingProxyType(
    {
        "vad-triggered": Profile.model_validate({**_HEARING, "autoStart": True}),
        "wake-word": Profile.model_validate(
            {
                **_HEARING,
                "autoStart": False,
                "wakeWord": {"phrase": "jarvis", "sensitivity": 0.7, "listenMs": 30_000},
            }
        ),
    }
)
"""The profiles that everybody has; the names cannot be taken."""
USUAL = "vad-triggered"
"""The profile of who names none."""

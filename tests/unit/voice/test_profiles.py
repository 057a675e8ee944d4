"""Named settings of a voice session."""

import json
from typing import Any

import pydantic
import pytest

from talksy.transports.faults import validation_error
from talksy.voice import BUILT_IN, USUAL, OwnProfile, Profile, TurnDetection


def own(**said: Any) -> OwnProfile:
    """As a client says it."""
    return OwnProfile.model_validate_json(json.dumps(said))


def faults(**said: Any) -> dict[str, str]:
    """What a client is told of each path."""
    with pytest.raises(pydantic.ValidationError) as caught:
        own(**said)
    return dict(validation_error(caught.value).faults)


def test_two_profiles_are_built_in() -> None:
    usual, wake = BUILT_IN[USUAL], BUILT_IN["wake-word"]
    assert list(BUILT_IN) == ["vad-triggered", "wake-word"]
    for profile in (usual, wake):
        detection = profile.turn_detection
        assert (detection.detector, detection.threshold) == ("combined", 0.4)
        assert detection.min_speech_ms == 250
    assert (usual.auto_start, usual.wake_word) == (True, None)
    assert wake.wake_word is not None
    assert (wake.auto_start, wake.wake_word.phrase) == (False, "jarvis")
    assert (wake.wake_word.sensitivity, wake.wake_word.listen_ms) == (0.7, 30_000)


def test_a_profile_is_laid_over_its_base_however_deep_it_says_something() -> None:
    profile = own(
        base="wake-word", language="de", turnDetection={"silenceDurationMs": 800}, stt="mock"
    ).over(BUILT_IN["wake-word"])
    assert type(profile) is Profile
    assert (profile.language, profile.stt, profile.auto_start) == ("de", "mock", False)
    detection = profile.turn_detection
    assert (detection.silence_duration_ms, detection.min_speech_ms) == (800, 250)
    assert detection.threshold == 0.4
    assert profile.wake_word == BUILT_IN["wake-word"].wake_word


def test_null_takes_away_what_the_base_has() -> None:
    profile = own(wakeWord=None).over(BUILT_IN["wake-word"])
    assert profile.wake_word is None
    assert own(wakeWord={"phrase": "hey jarvis"}).over(profile).wake_word is not None


def test_a_default_said_out_loud_counts() -> None:
    profile = own(turnDetection={"minSpeechMs": 120}).over(BUILT_IN[USUAL])
    assert profile.turn_detection.min_speech_ms == 120


def test_a_sensitivity_goes_before_the_threshold_of_the_base() -> None:
    base = Profile.model_validate({"turnDetection": {"threshold": 0.9}})
    profile = own(turnDetection={"sensitivity": 0.3}).over(base)
    assert (profile.turn_detection.threshold, profile.turn_detection.sensitivity) == (0.7, None)


def test_what_is_kept_says_what_was_said_and_is_read_again() -> None:
    profile = own(base="wake-word", turnDetection={"sensitivity": 0.3}, wakeWord=None)
    assert profile.changes() == {
        "base": "wake-word",
        "turnDetection": {"threshold": 0.7},
        "wakeWord": None,
    }
    assert own(**profile.changes()) == profile


@pytest.mark.parametrize(
    ("said", "path", "fault"),
    [
        ({"colour": 1}, "colour", "is not a known field"),
        ({"auto_start": True}, "auto_start", "is not a known field"),
        ({"autoStart": "yes"}, "autoStart", "must be true or false"),
        ({"base": "my-desk"}, "base", "must be 'vad-triggered' or 'wake-word'"),
        ({"language": "deutsch!"}, "language", "must be a language tag such as en or de-AT"),
        ({"stt": ""}, "stt", "must be an engine's name such as mock or openai:whisper-1"),
        ({"turnDetection": []}, "turnDetection", "must be an object"),
        ({"turnDetection": {"threshold": 1.1}}, "turnDetection.threshold", "must be 1 or less"),
        (
            {"turnDetection": {"sensitivity": -1}},
            "turnDetection.sensitivity",
            "must be 0 or more",
        ),
        ({"turnDetection": {"sensitivity": True}}, "turnDetection.sensitivity", ""),
        (
            {"turnDetection": {"sensitivity": 0.5, "threshold": 0.5}},
            "turnDetection.sensitivity",
            "says the same as threshold: give one of them",
        ),
        (
            {"turnDetection": {"silenceDurationMs": 99}},
            "turnDetection.silenceDurationMs",
            "must be 100 or more",
        ),
        (
            {"turnDetection": {"minSpeechMs": 1.5}},
            "turnDetection.minSpeechMs",
            "must be a whole number",
        ),
        ({"wakeWord": {"phrase": "Jarvis;"}}, "wakeWord.phrase", "must be up to 64 of a-z and '"),
        ({"wakeWord": {"listenMs": 0}}, "wakeWord.listenMs", "must be 1000 or more"),
    ],
)
def test_what_is_wrong_is_told_with_its_path(said: dict[str, Any], path: str, fault: str) -> None:
    told = faults(**said)
    assert list(told) == [path]
    assert told[path].startswith(fault)


def test_every_fault_is_told_at_once() -> None:
    told = faults(voice="", turnDetection={"type": "semantic_vad", "detector": "x"})
    assert list(told) == ["voice", "turnDetection.type", "turnDetection.detector"]


def test_no_profile_can_be_written_to() -> None:
    with pytest.raises(pydantic.ValidationError):
        BUILT_IN[USUAL].turn_detection.threshold = 0.1
    with pytest.raises(TypeError):
        BUILT_IN["mine"] = Profile()  # type: ignore[index]


def test_the_usual_words_of_turn_detection_have_the_usual_values() -> None:
    assert TurnDetection().model_dump(by_alias=True, exclude={"sensitivity"}) == {
        "type": "server_vad",
        "detector": "combined",
        "threshold": 0.5,
        "prefixPaddingMs": 300,
        "silenceDurationMs": 500,
        "minSpeechMs": 120,
        "maxSpeechMs": 60_000,
        "createResponse": True,
        "interruptResponse": True,
        "minInterruptionMs": 300,
    }

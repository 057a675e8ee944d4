"""From a recording to what happens in it, with every detector and in every framing."""

import pytest

from talksy.ai.vad import ENGINES, SpeechDetector
from talksy.voice import (
    BUILT_IN,
    USUAL,
    Endpointer,
    Heard,
    Paused,
    SpeechStarted,
    SpeechStopped,
    Spoken,
    TurnDetection,
)
from tests.clips import Clip, clip, clips
from tests.integration.voice.conftest import detector_called
from tests.integration.voice.test_detectors import pieces

NEAR_MS = 64
"""As close as a detector comes."""
SURE = ["energy", "silero", "combined"]
"""WebRTC takes a cough for a voice."""


def listen(
    detector: SpeechDetector,
    said: list[bytes],
    rules: TurnDetection | None = None,
    *,
    over: bool = False,
) -> list[Heard]:
    """What is heard of a stream in pieces; ``over`` an assistant that speaks."""
    endpointer = Endpointer(rules or TurnDetection())
    endpointer.assistant_speaks = over
    heard: list[Heard] = []
    frames = [frame for piece in said for frame in detector.hear(piece)]
    for frame in frames + detector.finish():
        heard += endpointer.hear(frame)
    return heard + list(endpointer.finish())


def told(heard: list[Heard]) -> list[tuple[str, int]]:
    """The events with their places, without the sound itself."""
    events = [each for each in heard if not isinstance(each, Spoken | Paused)]
    return [(type(each).__name__, each.offset_ms) for each in events]


HEARD = [
    (name, heard)
    for name in ENGINES.built_in
    for heard in clips().values()
    if (name, heard.name) != ("webrtc", "cough_noise")
]


@pytest.mark.parametrize(("name", "heard"), HEARD, ids=[f"{n}-{h.name}" for n, h in HEARD])
def test_each_utterance_is_told_where_it_is(name: str, heard: Clip) -> None:
    events = told(listen(detector_called(name), [heard.pcm]))
    wanted = [
        event
        for start, end in heard.utterances
        for event in (("SpeechStarted", start), ("SpeechStopped", end))
    ]
    assert [name for name, _ in events] == [name for name, _ in wanted]
    for (_, at), (_, truly) in zip(events, wanted, strict=True):
        assert abs(at - truly) <= NEAR_MS


@pytest.mark.parametrize("heard", clips().values(), ids=lambda each: each.name)
def test_the_events_are_the_same_in_any_framing(heard: Clip) -> None:
    detector = detector_called("combined")
    whole = listen(detector, [heard.pcm])
    for ms in (7, 20, 33, 100):
        assert listen(detector, pieces(heard.pcm, ms * 32)) == whole
    assert listen(detector, pieces(heard.pcm, 1)) == whole


def test_an_utterance_is_whole_with_what_comes_before_it() -> None:
    heard = listen(detector_called("combined"), [clip("hey_jarvis").pcm])
    (began,) = [each for each in heard if isinstance(each, SpeechStarted)]
    sound = [each for each in heard if isinstance(each, Spoken)]
    start, end = sound[0].start_ms, sound[-1].end_ms
    assert began.offset_ms - 300 <= start <= began.offset_ms - 200
    assert b"".join(each.pcm for each in sound) == clip("hey_jarvis").pcm[start * 32 : end * 32]


@pytest.mark.parametrize("name", SURE)
def test_the_end_is_known_half_a_second_after_it(name: str) -> None:
    """That is the pause it takes, and no more than a frame: nobody waits for a detector's tail."""
    endpointer, detector = Endpointer(TurnDetection()), detector_called(name)
    truly = clip("what_time_is_it").utterances[0][1]
    decided = [
        frame.end_ms
        for frame in detector.hear(clip("what_time_is_it").pcm) + detector.finish()
        for each in endpointer.hear(frame)
        if isinstance(each, SpeechStopped)
    ]
    assert len(decided) == 1
    assert abs(decided[0] - truly - 500) <= detector.frame_ms


@pytest.mark.parametrize("name", SURE)
def test_what_was_said_is_given_long_before_the_end_of_it_is_known(name: str) -> None:
    endpointer, detector = Endpointer(TurnDetection()), detector_called(name)
    truly = clip("what_time_is_it").utterances[0][1]
    given = [
        (type(each), frame.end_ms)
        for frame in detector.hear(clip("what_time_is_it").pcm) + detector.finish()
        for each in endpointer.hear(frame)
    ]
    assert [kind for kind, _ in given[-3:]] == [Spoken, Paused, SpeechStopped]
    (_, last), (_, paused), (_, decided) = given[-3:]
    assert paused - last == detector.frame_ms
    assert 150 < paused - truly < 300 < decided - truly


@pytest.mark.parametrize("name", SURE)
@pytest.mark.parametrize("noise", ["cough_noise", "white_noise_1s", "silence_1s"])
def test_noise_interrupts_nobody(name: str, noise: str) -> None:
    assert listen(detector_called(name), [clip(noise).pcm], over=True) == []


def test_a_cough_interrupts_nobody_even_where_webrtc_takes_it_for_a_voice() -> None:
    heard = listen(detector_called("webrtc"), [clip("cough_noise").pcm], over=True)
    assert told(heard) == [("Ignored", 390)]


def test_a_voice_interrupts_and_begins_what_is_said_next(detector: SpeechDetector) -> None:
    events = told(listen(detector, [clip("what_time_is_it").pcm], over=True))
    assert [name for name, _ in events] == ["Interrupted", "SpeechStarted", "SpeechStopped"]


def test_a_voice_that_does_not_end_is_cut() -> None:
    voice = clip("what_time_is_it").pcm[600 * 32 : 1_200 * 32] * 8
    rules = TurnDetection.model_validate({"maxSpeechMs": 2_000})
    heard = listen(detector_called("energy"), [voice], rules)
    reasons = [each.reason for each in heard if isinstance(each, SpeechStopped)]
    assert reasons == ["length", "length", "end"]
    sound = b"".join(each.pcm for each in heard if isinstance(each, Spoken))
    assert len(voice) - len(sound) <= 100 * 32, "next to nothing is lost at a cut"


def test_the_profile_of_everybody_hears_both_utterances() -> None:
    rules = BUILT_IN[USUAL].turn_detection
    events = told(listen(detector_called(rules.detector), [clip("jarvis_then_time").pcm], rules))
    assert [name for name, _ in events] == ["SpeechStarted", "SpeechStopped"] * 2

"""When an utterance begins and ends, told by the frames alone."""

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talksy.ai.vad import Judged
from talksy.voice import (
    Endpointer,
    Heard,
    Ignored,
    Interrupted,
    Paused,
    SpeechStarted,
    SpeechStopped,
    Spoken,
    TurnDetection,
)

FRAME_MS = 20
LOUD, FAINT = b"\x00\x20\x00\xe0" * 160, b"\x20\x00\xe0\xff" * 160
"""48 dB lie between them."""


def rules(**given: Any) -> TurnDetection:
    said = {"minSpeechMs": 100, "silenceDurationMs": 200, "prefixPaddingMs": 60}
    return TurnDetection.model_validate({**said, "minInterruptionMs": 200, **given})


class Stream:
    """Frames of 20 ms, one after the other."""

    def __init__(self, **given: Any) -> None:
        self.endpointer = Endpointer(rules(**given))
        self.heard: list[Heard] = []
        self.ms = 0

    def say(self, ms: int, probability: float = 0.9, pcm: bytes = LOUD) -> "Stream":
        for _ in range(ms // FRAME_MS):
            frame = Judged(pcm, self.ms, self.ms + FRAME_MS, probability)
            self.ms += FRAME_MS
            self.heard += self.endpointer.hear(frame)
        return self

    def quiet(self, ms: int) -> "Stream":
        return self.say(ms, 0.0, bytes(640))

    def finish(self) -> "Stream":
        self.heard += self.endpointer.finish()
        return self

    @property
    def told(self) -> list[tuple[str, int]]:
        """All but the sound itself."""
        heard = [each for each in self.heard if not isinstance(each, Spoken | Paused)]
        return [(type(each).__name__, each.offset_ms) for each in heard]

    @property
    def sound(self) -> list[Spoken]:
        return [each for each in self.heard if isinstance(each, Spoken)]


def started(heard: Iterable[Heard]) -> list[SpeechStarted]:
    return [each for each in heard if isinstance(each, SpeechStarted)]


def test_an_utterance_lasts_from_its_first_to_its_last_speech() -> None:
    stream = Stream().quiet(500).say(400).quiet(300)
    assert stream.told == [("SpeechStarted", 500), ("SpeechStopped", 900)]


def test_the_end_is_told_as_soon_as_the_pause_is_long_enough() -> None:
    stream = Stream().say(400).quiet(180)
    assert stream.told == [("SpeechStarted", 0)]
    stream.quiet(FRAME_MS)
    last = stream.heard[-1]
    assert isinstance(last, SpeechStopped)
    assert (last.offset_ms, last.reason) == (400, "silence")
    assert last.probability == pytest.approx(0.9)


def test_of_a_pause_only_its_beginning_is_given_and_the_rest_where_speech_goes_on() -> None:
    stream = Stream(silenceDurationMs=1_000).say(400).quiet(480)
    assert [(each.start_ms, each.end_ms) for each in stream.sound][-1] == (580, 600)
    assert stream.heard[-1] == Paused(400)
    stream.say(40)
    assert [(each.start_ms, each.end_ms) for each in stream.sound][-2:] == [(600, 900), (900, 920)]
    assert b"".join(each.pcm for each in stream.sound) == LOUD * 20 + bytes(640 * 24) + LOUD * 2
    stream.quiet(1_000)
    assert (stream.sound[-1].end_ms, stream.heard[-2:][0]) == (1_120, Paused(920))
    assert stream.told == [("SpeechStarted", 0), ("SpeechStopped", 920)]


def test_a_pause_that_is_long_enough_at_once_is_the_end() -> None:
    stream = Stream(silenceDurationMs=200).say(400).quiet(300)
    assert not [each for each in stream.heard if isinstance(each, Paused)]
    assert stream.sound[-1].end_ms == 600


def test_what_was_not_given_at_the_end_comes_before_what_is_said_next() -> None:
    stream = Stream(silenceDurationMs=500, prefixPaddingMs=300).say(400).quiet(500).say(200)
    sound = [(each.start_ms, each.end_ms) for each in stream.sound]
    assert (580, 600) in sound
    assert (600, 1_000) in sound


def test_what_is_too_short_is_no_speech() -> None:
    assert Stream().quiet(200).say(80).quiet(500).told == []


def test_a_pause_within_a_word_ends_no_beginning() -> None:
    stream = Stream().say(60).quiet(80).say(60).quiet(300)
    assert stream.told == [("SpeechStarted", 0), ("SpeechStopped", 200)]


def test_clicks_far_apart_do_not_add_up() -> None:
    stream = Stream()
    for _ in range(20):
        stream.say(40).quiet(120)
    assert stream.told == []


def test_the_utterance_begins_with_what_came_before_it() -> None:
    stream = Stream().quiet(500).say(400).quiet(300)
    first = stream.sound[0]
    assert (first.start_ms, first.end_ms) == (440, 600)
    assert first.pcm == bytes(3 * 640) + LOUD * 5


def test_less_probability_is_enough_to_go_on_than_to_begin() -> None:
    assert Stream().say(400, 0.4).told == []
    stream = Stream().say(200, 0.6).say(400, 0.4).say(300, 0.3)
    assert stream.told == [("SpeechStarted", 0), ("SpeechStopped", 600)]


def test_a_sensitivity_is_a_threshold_the_other_way_round() -> None:
    assert Stream(sensitivity=0.6).say(400, 0.41).told == [("SpeechStarted", 0)]
    assert Stream(sensitivity=0.4).say(400, 0.59).told == []


def test_what_is_far_fainter_than_the_speech_is_a_pause_whatever_the_detector_says() -> None:
    stream = Stream().say(400).say(200, pcm=FAINT)
    assert stream.told == [("SpeechStarted", 0), ("SpeechStopped", 400)]


def test_after_a_bang_a_voice_counts_again() -> None:
    stream = Stream(silenceDurationMs=1_000).say(100, pcm=b"\xff\x7f\x01\x80" * 160)
    voice = b"\x90\x01\x70\xfe" * 160  # 38 dB below it
    stream.say(400, pcm=voice).quiet(20).say(600, pcm=voice).finish()
    assert stream.told == [("SpeechStarted", 0), ("SpeechStopped", 1_120)]


def test_an_utterance_that_is_too_long_is_cut_and_the_next_goes_on_without_a_gap() -> None:
    stream = Stream(maxSpeechMs=2_000).say(3_000).quiet(300)
    assert stream.told == [
        ("SpeechStarted", 0),
        ("SpeechStopped", 2_000),
        ("SpeechStarted", 2_000),
        ("SpeechStopped", 3_000),
    ]
    assert [each.reason for each in stream.heard if isinstance(each, SpeechStopped)] == [
        "length",
        "silence",
    ]
    assert b"".join(each.pcm for each in stream.sound).startswith(LOUD * 150)


def test_the_end_of_the_stream_ends_the_utterance() -> None:
    stream = Stream().say(400).finish()
    assert stream.told == [("SpeechStarted", 0), ("SpeechStopped", 400)]
    stream.ms = 0
    assert stream.quiet(500).say(400).finish().told[2:] == [
        ("SpeechStarted", 500),
        ("SpeechStopped", 900),
    ]


def test_the_end_of_a_silent_stream_tells_nothing() -> None:
    assert Stream().say(60).finish().quiet(500).finish().told == []


# ---- while the assistant speaks


def test_speech_that_is_meant_interrupts_the_assistant() -> None:
    stream = Stream()
    stream.endpointer.assistant_speaks = True
    stream.quiet(100).say(180)
    assert stream.told == []
    stream.say(FRAME_MS)
    assert stream.told == [("Interrupted", 100), ("SpeechStarted", 100)]
    assert stream.sound[0].start_ms == 40


def test_a_short_sound_over_the_assistant_is_ignored_and_told() -> None:
    stream = Stream()
    stream.endpointer.assistant_speaks = True
    assert stream.quiet(100).say(160).quiet(500).told == [("Ignored", 100)]


def test_a_click_over_the_assistant_is_nothing() -> None:
    stream = Stream()
    stream.endpointer.assistant_speaks = True
    assert stream.say(60).quiet(500).told == []


def test_a_short_answer_to_the_last_word_of_the_assistant_is_heard() -> None:
    stream = Stream()
    stream.endpointer.assistant_speaks = True
    stream.say(140)
    stream.endpointer.assistant_speaks = False
    assert stream.quiet(300).told == [("SpeechStarted", 0), ("SpeechStopped", 140)]


def test_who_speaks_when_the_assistant_begins_interrupts_by_going_on() -> None:
    stream = Stream().say(400)
    stream.endpointer.assistant_speaks = True
    stream.say(180)
    assert stream.told == [("SpeechStarted", 0)]
    assert stream.say(FRAME_MS).told[1:] == [("Interrupted", 400)]
    assert stream.say(400).told[2:] == [], "it is told once"


def test_one_utterance_can_interrupt_two_answers() -> None:
    stream = Stream()
    for _ in range(2):
        stream.endpointer.assistant_speaks = True
        stream.say(240)
        stream.endpointer.assistant_speaks = False
        stream.say(20)
    assert stream.told == [("Interrupted", 0), ("SpeechStarted", 0), ("Interrupted", 260)]


def test_speech_interrupts_nothing_where_it_shall_not() -> None:
    stream = Stream(interruptResponse=False)
    stream.endpointer.assistant_speaks = True
    assert stream.say(400).quiet(300).told == [("SpeechStarted", 0), ("SpeechStopped", 400)]


# ---- whatever comes

FRAMES = st.lists(st.tuples(st.floats(0, 1), st.sampled_from([LOUD, FAINT]), st.booleans()))


@given(FRAMES, st.integers(0, 400), st.integers(0, 2_000))
def test_whatever_comes_the_events_follow_their_grammar(
    frames: list[tuple[float, bytes, bool]], least: int, padding: int
) -> None:
    stream = Stream(minSpeechMs=least, prefixPaddingMs=padding, maxSpeechMs=2_000)
    for probability, pcm, assistant in frames:
        stream.endpointer.assistant_speaks = assistant
        stream.say(FRAME_MS, probability, pcm)
    stream.finish()
    speaking = False
    for heard, following in pairwise([*stream.heard, Ignored(0)]):
        match heard:
            case SpeechStarted():
                assert not speaking
                assert isinstance(following, Spoken)
                speaking = True
            case Paused():
                assert speaking
                assert not isinstance(following, Paused)
            case Spoken() | SpeechStopped():
                assert speaking
                speaking = isinstance(heard, Spoken)
            case Interrupted():
                assert speaking != isinstance(following, SpeechStarted)
            case Ignored():
                assert not speaking
    assert not speaking
    for former, latter in pairwise(stream.sound):
        assert former.end_ms <= latter.start_ms, "no sound is given twice"
    for begun, first in zip(started(stream.heard), _firsts(stream.heard), strict=True):
        assert 0 <= begun.offset_ms - first.start_ms <= padding


def _firsts(heard: list[Heard]) -> list[Spoken]:
    return [
        second
        for first, second in pairwise(heard)
        if isinstance(first, SpeechStarted) and isinstance(second, Spoken)
    ]

"""What every detector of speech promises, and what each of them hears."""

from itertools import pairwise

import pytest

from talksy.ai.vad import SpeechDetector, open_detector
from tests.clips import Clip, clip, clips
from tests.integration.voice.conftest import detector_called

SPEECH = [each for each in clips().values() if each.says]
NOISES = ["silence_1s", "white_noise_1s", "cough_noise"]


def pieces(pcm: bytes, size: int) -> list[bytes]:
    return [pcm[at : at + size] for at in range(0, len(pcm), size)]


def test_every_sample_is_judged_once_and_in_its_place(detector: SpeechDetector) -> None:
    pcm = clip("hey_jarvis").pcm
    judged = detector.hear(pcm) + detector.finish()
    assert b"".join(each.pcm for each in judged) == pcm
    assert (judged[0].start_ms, judged[-1].end_ms) == (0, len(pcm) // 32)
    for former, latter in pairwise(judged):
        assert former.end_ms == latter.start_ms
        assert former.end_ms - former.start_ms == detector.frame_ms
    assert all(0 <= each.probability <= 1 for each in judged)


@pytest.mark.parametrize("size", [1, 2 * 112 + 1, 640, 1_056, 3_200])
def test_a_stream_is_judged_alike_however_it_is_cut(detector: SpeechDetector, size: int) -> None:
    pcm = clip("what_time_is_it").pcm
    whole = detector.hear(pcm) + detector.finish()
    assert [each for piece in pieces(pcm, size) for each in detector.hear(piece)] + (
        detector.finish()
    ) == whole


def test_one_that_has_heard_another_stream_is_as_new(detector: SpeechDetector) -> None:
    fresh = open_detector(detector.name)
    detector.hear(clip("white_noise_1s").pcm + clip("what_time_is_it").pcm[:20_001])
    detector.finish()
    pcm = clip("hey_jarvis").pcm
    assert detector.hear(pcm) == fresh.hear(pcm)


@pytest.mark.parametrize("heard", SPEECH, ids=lambda each: each.name)
def test_it_hears_the_middle_of_each_utterance(detector: SpeechDetector, heard: Clip) -> None:
    judged = detector.hear(heard.pcm)
    for start, end in heard.utterances:
        # WebRTC and Silero need some frames; a consonant within is quiet.
        inner = [each for each in judged if start + 100 <= each.start_ms < end - 100]
        sure = [each for each in inner if each.probability >= 0.5]
        assert len(sure) >= 0.8 * len(inner)


def test_it_hears_nothing_in_silence(detector: SpeechDetector) -> None:
    assert all(each.probability < 0.1 for each in detector.hear(clip("silence_1s").pcm))


@pytest.mark.parametrize("name", ["energy", "silero", "combined"])
@pytest.mark.parametrize("noise", NOISES)
def test_a_noise_is_no_voice_to_those_who_know_better(name: str, noise: str) -> None:
    detector = detector_called(name)
    judged = detector.hear(clip(noise).pcm) + detector.finish()
    assert max(each.probability for each in judged) < 0.4


def test_a_cough_is_a_voice_to_webrtc_alone() -> None:
    detector = detector_called("webrtc")
    judged = detector.hear(clip("cough_noise").pcm) + detector.finish()
    assert max(each.probability for each in judged) == 1


def test_in_silence_the_combined_one_leaves_silero_alone() -> None:
    """Else it would give what Silero gives: a little, never nothing."""
    pcm = clip("silence_1s").pcm
    assert {each.probability for each in detector_called("combined").hear(pcm)} == {0.0}
    assert 0.0 not in {each.probability for each in detector_called("silero").hear(pcm)[:10]}
    detector_called("combined").finish()
    detector_called("silero").finish()

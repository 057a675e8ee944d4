"""Sound in pieces of any length."""

from hypothesis import given
from hypothesis import strategies as st

from talksy.audio import IN_RATE, OUT_RATE, Carry, milliseconds, size_of


def test_bytes_and_milliseconds_are_two_words_for_the_same() -> None:
    assert (milliseconds(32_000, IN_RATE), milliseconds(48_000, OUT_RATE)) == (1_000, 1_000)
    assert (size_of(20), size_of(20, OUT_RATE)) == (640, 960)
    assert size_of(0.1) == 2, "whole samples only"


@given(st.binary(max_size=200), st.lists(st.integers(0, 9)), st.integers(1, 9))
def test_the_frames_are_the_same_however_the_stream_was_cut(
    pcm: bytes, cuts: list[int], samples: int
) -> None:
    whole, pieces = Carry(samples), Carry(samples)
    frames, rest = list[bytes](), pcm
    for cut in cuts:
        frames += pieces.cut(rest[:cut])
        rest = rest[cut:]
    frames += pieces.cut(rest)
    assert frames == list(whole.cut(pcm))
    assert {len(frame) for frame in frames} <= {2 * samples}
    left = pieces.rest()
    assert (b"".join(frames) + left) == pcm[: len(pcm) // 2 * 2]


def test_a_piece_is_taken_though_nobody_looks_at_its_frames() -> None:
    carry = Carry(1)
    carry.cut(b"abc")
    assert list(carry.cut(b"d")) == [b"cd"]


def test_after_the_rest_another_stream_begins() -> None:
    carry = Carry(2)
    assert list(carry.cut(b"abcdefg")) == [b"abcd"]
    assert carry.rest() == b"ef", "half a sample is none"
    assert list(carry.cut(b"hijk")) == [b"hijk"]

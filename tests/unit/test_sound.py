"""WAV files as anybody has them, and what is played of an answer."""

import struct
import wave
from array import array
from pathlib import Path

import pytest

from talksy.audio import OUT_RATE, size_of
from talksy.cli.sound import NoSound, Recorder, read_wav, write_wav

CLIP = Path(__file__).parents[1] / "clips" / "what_time_is_it.wav"
LOUD = [0, 1_000, -1_000, 32_767, -32_768]


def riff(
    path: Path, kind: int, bits: int, data: bytes, *, channels: int = 1, rate: int = 8_000
) -> Path:
    """A WAV file with a chunk between its head and its sound, as editors leave them."""
    frame = channels * bits // 8
    about = struct.pack("<HHIIHH", kind, channels, rate, rate * frame, frame, bits)
    chunks = b""
    for name, content in ((b"fmt ", about), (b"LIST", b"odd"), (b"data", data)):
        chunks += name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)
    path.write_bytes(b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks)
    return path


def samples(path: Path) -> list[int]:
    pcm, rate = read_wav(path)
    assert rate == 8_000
    return list(struct.unpack(f"<{len(pcm) // 2}h", pcm))


def test_a_file_of_the_usual_kind_is_read_as_it_is() -> None:
    with wave.open(str(CLIP), "rb") as file:
        assert read_wav(CLIP) == (file.readframes(file.getnframes()), 16_000)


@pytest.mark.parametrize(
    ("kind", "bits", "data", "near"),
    [
        (1, 8, bytes([128, 132, 124, 255, 0]), 300),
        (1, 16, struct.pack("<5h", *LOUD), 0),
        (1, 24, b"".join((it << 8).to_bytes(3, "little", signed=True) for it in LOUD), 0),
        (1, 32, struct.pack("<5i", *(it << 16 for it in LOUD)), 0),
        (3, 32, struct.pack("<5f", *(it / 32_768 for it in LOUD)), 1),
        (3, 64, struct.pack("<5d", *(it / 32_768 for it in LOUD)), 1),
    ],
    ids=["8", "16", "24", "32", "float", "double"],
)
def test_samples_of_any_kind_become_16_bits(
    tmp_path: Path, kind: int, bits: int, data: bytes, near: int
) -> None:
    found = samples(riff(tmp_path / "it.wav", kind, bits, data))
    assert len(found) == len(LOUD)
    assert all(abs(got - meant) <= near for got, meant in zip(found, LOUD, strict=True))


def test_several_channels_become_one(tmp_path: Path) -> None:
    data = array("h", [100, 300, -100, -300]).tobytes()
    assert samples(riff(tmp_path / "it.wav", 1, 16, data, channels=2)) == [200, -200]


def test_a_file_whose_length_was_not_known_is_read_to_its_end(tmp_path: Path) -> None:
    path = riff(tmp_path / "it.wav", 1, 16, struct.pack("<5h", *LOUD))
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"data\x0a\0\0\0", b"data\xff\xff\xff\xff"))
    assert samples(path) == LOUD


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is no WAV file"),
        (b"OggS" + bytes(100), "is no WAV file"),
        (b"RIFF\0\0\0\0WAVE", "there is no sound in"),
        (b"RIFF\0\0\0\0WAVEdata\4\0\0\0\0\0\0\0", "there is no sound in"),
    ],
)
def test_what_is_no_sound_is_named(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "it.wav"
    path.write_bytes(content)
    with pytest.raises(NoSound, match=says):
        read_wav(path)
    with pytest.raises(NoSound, match="cannot read"):
        read_wav(tmp_path / "no.wav")


def test_samples_that_are_compressed_are_not_read(tmp_path: Path) -> None:
    with pytest.raises(NoSound, match="convert it to PCM"):
        read_wav(riff(tmp_path / "it.wav", 7, 8, b"mu-law"))


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    write_wav(tmp_path / "out.wav", b"\1\0\2\0")
    assert read_wav(tmp_path / "out.wav") == (b"\1\0\2\0", OUT_RATE)


def test_what_was_not_played_is_void_when_it_is_cleared() -> None:
    now = 100.0
    recorder = Recorder(lambda: now)
    recorder.start()
    recorder.play(bytes(size_of(3_000, OUT_RATE)))
    assert recorder.played_ms == 0
    now = 101.0
    recorder.clear()
    assert recorder.played_ms == 1_000
    assert len(recorder.pcm) == size_of(1_000, OUT_RATE)
    now = 200.0
    assert recorder.played_ms == 1_000

"""What tests listen to."""

import functools
import json
import wave
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Clip:
    """A recording, and what is said in it."""

    name: str
    pcm: bytes
    """16 kHz."""
    says: str
    """Of each utterance, with ``|`` between."""
    utterances: tuple[tuple[int, int], ...]
    """From when to when each lasts, in milliseconds."""


@functools.cache
def clips() -> dict[str, Clip]:
    """All of them by name, such as ``hey_jarvis``."""
    manifest = json.loads((HERE / "manifest.json").read_text(encoding="utf-8"))
    found = {}
    for file, told in manifest.items():
        with wave.open(str(HERE / file)) as opened:
            pcm = opened.readframes(opened.getnframes())
        assert sha256(pcm).hexdigest() == told["sha256_pcm"], f"{file} is not the one of the list"
        lasts: tuple[tuple[int, int], ...] = ()
        if told["says"]:
            pauses = told.get("pauses_ms", [])
            starts = [told["speech_start_ms"], *(end for _, end in pauses)]
            ends = [*(start for start, _ in pauses), told["speech_end_ms"]]
            lasts = tuple(zip(starts, ends, strict=True))
        name = Path(file).stem
        found[name] = Clip(name, pcm, told["says"], lasts)
    return found


def clip(name: str) -> Clip:
    """One of them."""
    return clips()[name]

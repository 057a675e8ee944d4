"""The process that a recogniser runs in: it knows nothing of ours but this file.

It is given orders on standard input, each a letter, a length and so many bytes, and answers each
with one line of JSON on standard output:

    C {grammar?, keyphrases?}   how it listens             {} or {unfit}
    S {phrases?}                an utterance begins        {left}, phrases it does not know
    A PCM                       more of it                 {text}
    E                           it has ended               {text, confidence, start, end}
"""

import contextlib
import json
import math
import os
import signal
import struct
import sys
from collections.abc import Mapping
from typing import Any, BinaryIO

HEAD = struct.Struct(">cI")
_FRAME_MS = 10
_POLITENESS = 5
"""Whoever computes for half a second gives way to those who wait for a token."""
_USUAL, _PHRASES = "usual", "phrases"


class Ear:
    """A decoder, and what it listens for."""

    def __init__(self, decoder: Any) -> None:
        self._decoder = decoder
        # What one speaker leaves of it changes what the next is heard to say.
        self._mean = decoder.get_cmn(False)
        self._usual = decoder.current_search()
        self._listed: tuple[str, ...] = ()
        self._open = False

    def configure(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """Listens for what a grammar has, or for keyphrases, instead of free speech."""
        try:
            if order.get("grammar"):
                self._decoder.add_jsgf_string(_USUAL, order["grammar"])
                self._usual = _USUAL
            elif order.get("keyphrases"):
                self._spot(order["keyphrases"])
                self._usual = _USUAL
            self._decoder.activate_search(self._usual)
        except (ValueError, RuntimeError) as error:
            return {"unfit": f"it cannot listen for what it was told to: {error}"}
        return {}

    def start(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """An utterance begins. An earlier one that nobody ended is forgotten."""
        if self._open:
            self._decoder.end_utt()
            self._open = False
        asked = order.get("phrases", ())
        phrases = tuple(phrase for phrase in asked if all(map(self._knows, phrase.split())))
        if phrases and phrases != self._listed:
            self._decoder.add_jsgf_string(_PHRASES, _grammar(phrases))
            self._listed = phrases
        self._decoder.activate_search(_PHRASES if phrases else self._usual)
        self._decoder.set_cmn(self._mean)
        self._decoder.start_utt()
        self._open = True
        return {"left": len(asked) - len(phrases)}

    def hear(self, pcm: bytes) -> dict[str, Any]:
        """More of it."""
        if pcm:
            self._decoder.process_raw(pcm, no_search=False, full_utt=False)
        return {"text": self._text()}

    def end(self) -> dict[str, Any]:
        """All of it."""
        self._decoder.end_utt()
        self._open = False
        words = [part for part in self._decoder.seg() or () if part.word[0] not in "<["]
        if not words:
            return {"text": self._text(), "confidence": None, "start": 0, "end": 0}
        doubt = sum(math.log(max(part.prob, 1e-9)) for part in words) / len(words)
        return {
            "text": self._text(),
            "confidence": round(min(1.0, math.exp(doubt)), 3),
            "start": words[0].start_frame * _FRAME_MS,
            "end": (words[-1].end_frame + 1) * _FRAME_MS,
        }

    def _knows(self, word: str) -> bool:
        return self._decoder.lookup_word(word) is not None

    def _text(self) -> str:
        heard = self._decoder.hyp()
        return heard.hypstr.strip() if heard else ""

    def _spot(self, keyphrases: Mapping[str, float]) -> None:
        lines = "".join(f"{phrase} /{limit:g}/\n" for phrase, limit in keyphrases.items())
        path = f"/dev/fd/{_pipe(lines.encode())}"
        self._decoder.add_kws(_USUAL, path)


def _pipe(data: bytes) -> int:
    """A descriptor from which ``data`` is read, for a library that wants a file."""
    reading, writing = os.pipe()
    os.write(writing, data)
    os.close(writing)
    return reading


def _grammar(phrases: tuple[str, ...]) -> str:
    said = " | ".join(phrases)
    return f"#JSGF V1.0;\ngrammar phrases;\npublic <phrase> = {said};\n"


def serve(orders: BinaryIO, answers: BinaryIO, ear: Ear) -> None:
    """Answers order by order until nobody gives any."""
    while len(head := orders.read(HEAD.size)) == HEAD.size:
        kind, size = HEAD.unpack(head)
        body = orders.read(size)
        match kind:
            case b"C":
                answer = ear.configure(json.loads(body))
            case b"S":
                answer = ear.start(json.loads(body))
            case b"A":
                answer = ear.hear(body)
            case _:
                answer = ear.end()
        answers.write(json.dumps(answer).encode() + b"\n")
        answers.flush()


def main() -> None:
    """Loads the engine, which takes a second, then serves."""
    # Whoever stops the server with ctrl-c stops the server, which ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.path[:] = sys.argv[1:]
    orders, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        # The library writes down what it hears.
        os.dup2(nothing, descriptor)
    with contextlib.suppress(OSError):
        os.nice(_POLITENESS)
    import pocketsphinx

    with contextlib.suppress(BrokenPipeError):
        serve(orders, answers, Ear(pocketsphinx.Decoder(loglevel="FATAL")))


if __name__ == "__main__":
    main()

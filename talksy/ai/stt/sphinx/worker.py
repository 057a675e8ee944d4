"""The process that a recogniser runs in: it knows nothing of ours but this file.

It is given orders on standard input, each a letter, a length and so many bytes, and answers each
with one line of JSON on standard output:

    C {grammar?, keyphrases?}   how it listens             {} or {unfit}
    S {phrases?}                an utterance begins        {left}, phrases it does not know
    A PCM                       more of it                 {text}
    P                           this may be all of it      {}
    E                           it has ended               {text, confidence, start, end}

The last look at an utterance takes a tenth of its length, and there is no way back from it. So in a
pause a copy of the process takes it, and is thrown away where more is said.
"""

import contextlib
import json
import math
import os
import select
import signal
import struct
import sys
from collections.abc import Mapping
from io import FileIO
from typing import IO, Any, BinaryIO, NoReturn

HEAD = struct.Struct(">cI")
_FRAME_MS = 10
_POLITENESS = 5
"""Whoever computes for half a second gives way to those who wait for a token."""
_GUESS_SECONDS = 10
"""A copy ends by then, whoever waits for it."""
_REST_SECONDS = 0.5
"""After an utterance: the processor is for those who answer it."""
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
            elif phrases := order.get("keyphrases"):
                if unknown := [word for word in " ".join(phrases).split() if not self._knows(word)]:
                    # The engine would say nothing, and never hear them.
                    return {"unfit": f"its dictionary does not have {', '.join(unknown)}"}
                self._spot(phrases)
                self._usual = _USUAL
            self._decoder.activate_search(self._usual)
        except (ValueError, RuntimeError) as error:
            return {"unfit": f"it cannot listen for what it was told to: {error}"}
        return {}

    def start(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """An utterance begins."""
        self.forget()
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

    def forget(self) -> None:
        """Ends an utterance whose end nobody asks for."""
        if self._open:
            self._decoder.end_utt()
            self._open = False

    def _knows(self, word: str) -> bool:
        return self._decoder.lookup_word(word) is not None

    def _text(self) -> str:
        heard = self._decoder.hyp()
        # Between two phrases are more blanks than one.
        return " ".join(heard.hypstr.split()) if heard else ""

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


class Guess:
    """What an utterance ends with if it ends here: a copy of this process finds out."""

    def __init__(self, ear: Ear, *pipes: IO[bytes]) -> None:
        """The copy closes the ``pipes``, so that nobody waits for it there. Raises ``OSError``."""
        self._reading, writing = os.pipe()
        try:
            self._pid = os.fork()
            if not self._pid:
                _guess(ear, writing, pipes)
        except OSError:
            os.close(self._reading)
            raise
        finally:
            os.close(writing)

    def take(self) -> bytes:
        """It, as it is answered; nothing where the copy did not get that far."""
        with os.fdopen(self._reading, "rb") as reading:
            told = reading.read()
        os.waitpid(self._pid, 0)
        return told

    def drop(self) -> None:
        """Nobody wants to know."""
        os.close(self._reading)
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)


def _guess(ear: Ear, writing: int, pipes: tuple[IO[bytes], ...]) -> NoReturn:
    """What the copy does."""
    try:
        signal.alarm(_GUESS_SECONDS)
        for pipe in pipes:
            os.close(pipe.fileno())
        with os.fdopen(writing, "wb") as told:
            told.write(_line(ear.end()))
    finally:
        os._exit(0)


def serve(orders: FileIO, answers: BinaryIO, ear: Ear) -> None:
    """Answers order by order until nobody gives any."""
    guess: Guess | None = None
    while len(head := _read(orders, HEAD.size)) == HEAD.size:
        kind, size = HEAD.unpack(head)
        body = _read(orders, size)
        if guess is not None and kind != b"E":
            guess.drop()
            guess = None
        match kind:
            case b"C":
                line = _line(ear.configure(json.loads(body)))
            case b"S":
                line = _line(ear.start(json.loads(body)))
            case b"A":
                line = _line(ear.hear(body))
            case b"P":
                with contextlib.suppress(OSError):  # where no process can be had, it is late
                    guess = Guess(ear, orders, answers)
                line = _line({})
            case _:
                told, guess = guess.take() if guess else b"", None
                line = told or _line(ear.end())
        answers.write(line)
        answers.flush()
        if kind == b"E" and not select.select([orders], [], [], _REST_SECONDS)[0]:
            ear.forget()
    if guess is not None:
        guess.drop()


def _read(orders: FileIO, size: int) -> bytes:
    """So many bytes, or less at the end. None is read ahead, so that it shows whether more come."""
    read = b""
    while len(read) < size and (more := orders.read(size - len(read))):
        read += more
    return read


def _line(answer: Mapping[str, Any]) -> bytes:
    return json.dumps(answer).encode() + b"\n"


def main() -> None:
    """Loads the engine, which takes a second, then serves."""
    # Whoever stops the server with ctrl-c stops the server, which ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.path[:] = sys.argv[1:]
    orders, answers = FileIO(os.dup(0)), os.fdopen(os.dup(1), "wb")
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

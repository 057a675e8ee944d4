"""A program of its own that listens for key phrases: pocketsphinx would hold the server's lock.

It serves many streams. Orders come by standard input, each a ``HEAD`` and so many bytes; answers
leave by standard output, a line of JSON each, with the ``stream`` they are about. It ends when its
input does. Nothing of ours is imported: it starts fast, and knows nothing.
"""

import json
import struct
import sys
from dataclasses import dataclass
from typing import Any, BinaryIO

HEAD = struct.Struct("<BIQ")
"""An order: which, of which stream, and how many bytes follow. ``BEGIN`` has the time in place of
these."""
OPEN, BEGIN, AUDIO, END, SETTLE, CLOSE = range(6)
"""Listen for a phrase (JSON ``{phrase, threshold}``); the answer ``opened`` lists words of it that
are not known: then it does not. Speech begins, at so many milliseconds of the stream. Audio of it;
``wake`` says that the phrase was in it. It ends. Say ``settled``. No more of this stream."""

RATE = 16_000
FRAME_MS = 10
LONGEST = 30 * RATE * 2
"""Bytes after which an utterance begins anew, so that a radio fills no memory. A phrase said just
then is missed."""


@dataclass
class Stream:
    """One stream, with the decoder it has to itself."""

    decoder: Any
    mean: str
    """Of the cepstra, as they are at first: else one speaker would tint the next."""
    at_ms: int = 0
    size: int = 0
    """Bytes since then."""
    hearing: bool = False

    def listen(self, phrase: str, threshold: float) -> list[str]:
        """Takes up a phrase; gives those of its words that it does not know."""
        unknown = [word for word in phrase.split() if self.decoder.lookup_word(word) is None]
        if not unknown:
            self.decoder.config["kws_threshold"] = threshold
            self.decoder.add_keyphrase("wake", phrase)
            self.decoder.activate_search("wake")
        return unknown

    def begin(self, at_ms: int) -> None:
        self.at_ms, self.size, self.hearing = at_ms, 0, True
        self.decoder.set_cmn(self.mean)
        self.decoder.start_utt()

    def end(self) -> None:
        if self.hearing:
            self.decoder.end_utt()
            self.hearing = False

    def audio(self, pcm: bytes) -> tuple[float, int] | None:
        """The confidence in a phrase that is whole with this piece, and where it ended."""
        self.size += len(pcm)
        self.decoder.process_raw(pcm)
        found = None
        if self.decoder.hyp() is not None:
            segment = list(self.decoder.seg())[-1]
            found = (segment.prob, self.at_ms + (segment.end_frame + 1) * FRAME_MS)
        if found or self.size >= LONGEST:
            self.end()
            self.begin(self.at_ms + self.size * 1_000 // (RATE * 2))
        return found


class Spotter:
    """All streams, and the decoders that are free."""

    def __init__(self, answers: BinaryIO) -> None:
        self._answers = answers
        self._streams: dict[int, Stream] = {}
        self._free = [_new_stream()]

    def serve(self, orders: BinaryIO) -> None:
        """Follows orders to their end."""
        while len(head := orders.read(HEAD.size)) == HEAD.size:
            order, number, rest = HEAD.unpack(head)
            if order == OPEN:
                self._open(number, **json.loads(orders.read(rest)))
            elif order == BEGIN:
                self._streams[number].begin(rest)
            elif order == AUDIO:
                if found := self._streams[number].audio(orders.read(rest)):
                    self._answer(number, "wake", found)
            elif order == END:
                self._streams[number].end()
            elif order == SETTLE:
                self._answer(number, "settled", True)
            elif number in self._streams:
                stream = self._streams.pop(number)
                stream.end()
                self._free.append(stream)

    def _open(self, number: int, phrase: str, threshold: float) -> None:
        stream = self._free.pop() if self._free else _new_stream()
        unknown = stream.listen(phrase, threshold)
        if unknown:
            self._free.append(stream)
        else:
            self._streams[number] = stream
        self._answer(number, "opened", unknown)

    def _answer(self, number: int, what: str, it: object) -> None:
        self._answers.write(json.dumps({"stream": number, what: it}).encode() + b"\n")
        self._answers.flush()


def _new_stream() -> Stream:
    """Loads a decoder: 0.2 s, and 27 MB once it listens."""
    import pocketsphinx

    decoder = pocketsphinx.Decoder(lm=None, loglevel="FATAL")
    return Stream(decoder, decoder.get_cmn(False))


if __name__ == "__main__":
    Spotter(sys.stdout.buffer).serve(sys.stdin.buffer)

"""Random WebSocket streams, right and wrong, for our parser and for wsproto's: both must read the
same messages and come to the same verdict.

python -m tests.protocol.fuzz --streams 100000

Where they differ on purpose:

- bad UTF-8 in a message of several pieces is found by wsproto in the piece, by ours at the end of
  the message, so that ours may have answered a ping in between;
- wsproto does not know the close code 1014 (bad gateway), which was registered later;
- limits of size and pieces are ours alone, and no stream here comes near them.
"""

import argparse
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from wsproto.frame_protocol import FrameProtocol, Opcode, ParseFailed

from talksy.transports.socketio.engine.frames import BAD_UTF8, Parser, Violation
from tests.protocol.frames import BINARY, CLOSE, PING, PONG, TEXT, closing, frame, head, in_pieces

LIMIT = 10_000_000
SIZES = [0, 1, 5, 63, 64, 65, 125, 126, 127, 300, 900]
LONG = [65_535, 65_536, 70_000]
CUTS = [1, 2, 3, 7, 50, 1_000, 100_000]
ALPHABET = "abcäß€😀\x00\x7f"

Told = tuple[str, str | bytes | int]


@dataclass
class Reading:
    """What was read, and the close code of the violation it ended with, if with one."""

    told: list[Told] = field(default_factory=list)
    verdict: int | None = None


class Ours:
    """Feeds our parser in random pieces, pausing now and then."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._reading = Reading()
        self._parser = Parser(self, LIMIT)
        self._over = False

    def read(self, stream: bytes) -> Reading:
        try:
            at = 0
            while at < len(stream):
                size = self._chance.choice(CUTS)
                self._feed(stream[at : at + size])
                at += size
            while self._parser.paused and not self._over:
                self._go_on()
        except Violation as error:
            self._reading.verdict = error.code
        return self._reading

    def _feed(self, piece: bytes) -> None:
        self._parser.feed(piece)
        if self._parser.paused and not self._over and self._chance.random() < 0.5:
            self._go_on()

    def _go_on(self) -> None:
        self._parser.paused = False
        self._parser.feed(b"")

    def on_text(self, text: str) -> None:
        self._tell("text", text)

    def on_binary(self, data: bytes) -> None:
        self._tell("binary", data)

    def on_ping(self, data: bytes) -> None:
        self._tell("ping", data)

    def on_close(self, code: int) -> None:
        self._tell("close", code)
        self._over = self._parser.paused = True

    def on_burst(self) -> None:
        self._parser.paused = True

    def _tell(self, what: str, data: str | bytes | int) -> None:
        self._reading.told.append((what, data))
        if self._chance.random() < 0.1:
            self._parser.paused = True


def theirs(stream: bytes) -> Reading:
    """What wsproto reads."""
    reading, protocol = Reading(), FrameProtocol(client=False, extensions=[])
    pieces: list[str | bytes] = []
    protocol.receive_bytes(stream)
    try:
        for found in protocol.received_frames():
            if found.opcode is Opcode.PING:
                assert isinstance(found.payload, bytes)
                reading.told.append(("ping", found.payload))
            elif found.opcode is Opcode.CLOSE:
                assert isinstance(found.payload, tuple)
                reading.told.append(("close", int(found.payload[0])))
            elif found.opcode is not Opcode.PONG:
                assert isinstance(found.payload, str | bytes)
                pieces.append(found.payload)
                if found.message_finished:
                    reading.told.append(_whole(pieces))
                    pieces = []
    except ParseFailed as error:
        reading.verdict = int(error.code)
    return reading


def _whole(pieces: list[str | bytes]) -> Told:
    texts = [piece for piece in pieces if isinstance(piece, str)]
    if len(texts) == len(pieces):
        return "text", "".join(texts)
    return "binary", b"".join(piece for piece in pieces if isinstance(piece, bytes))


# ---- streams


def streams(count: int, seed: int) -> Iterator[tuple[bytes, random.Random]]:
    """Streams, each with what its reader may toss."""
    for number in range(count):
        chance = random.Random(f"{seed}/{number}")
        stream = b"".join(_part(chance) for _ in range(chance.randint(1, 6)))
        fate = chance.random()
        if fate < 0.4:
            stream += chance.choice(WRONG)(chance) + _part(chance)
        elif fate < 0.5:
            stream += closing(chance.choice([1000, 1003, 1007, 1013, 3000, 4999])) + _part(chance)
        elif fate < 0.6:
            stream = stream[: chance.randrange(len(stream))]
        yield stream, chance


def _part(chance: random.Random) -> bytes:
    """A message, or a ping or pong."""
    kind = chance.random()
    if kind < 0.2:
        return frame(PING if kind < 0.15 else PONG, chance.randbytes(chance.randrange(126)))
    opcode = chance.choice([TEXT, BINARY])
    size = chance.choice(LONG if chance.random() < 0.02 else SIZES)
    data = _text(chance, size) if opcode == TEXT else chance.randbytes(size)
    if kind < 0.6:
        return frame(opcode, data, key=chance.choice([bytes(4), chance.randbytes(4)]))
    marks = sorted(chance.randrange(len(data) + 1) for _ in range(chance.randint(1, 4)))
    pieces = [data[a:b] for a, b in zip([0, *marks], [*marks, len(data)], strict=True)]
    sent = frame(opcode, pieces[0], final=False)
    for piece in pieces[1:-1]:
        sent += _aside(chance) + frame(0, piece, final=False)
    return sent + _aside(chance) + frame(0, pieces[-1])


def _aside(chance: random.Random) -> bytes:
    return frame(PING, chance.randbytes(3)) if chance.random() < 0.3 else b""


def _text(chance: random.Random, size: int) -> bytes:
    return "".join(chance.choices(ALPHABET, k=size)).encode()


Wrong = Callable[[random.Random], bytes]
WRONG: list[Wrong] = [
    lambda chance: frame(TEXT, chance.randbytes(chance.randrange(200)), key=None),
    lambda chance: frame(chance.choice([TEXT, PING]), b"x", bits=chance.choice([16, 32, 64])),
    lambda chance: frame(chance.choice([3, 4, 5, 6, 7, 11, 12, 13, 14, 15]), b"x"),
    lambda chance: head(BINARY, chance.randrange(126), width=2) + bytes(200),
    lambda chance: head(BINARY, chance.randrange(1 << 16), width=8) + bytes(200),
    lambda _chance: b"\x82\xff" + b"\xff" * 8 + bytes(4),
    lambda chance: frame(chance.choice([CLOSE, PING, PONG]), chance.randbytes(126)),
    lambda chance: frame(chance.choice([CLOSE, PING, PONG]), b"", final=False),
    lambda chance: frame(0, b"x", final=chance.random() < 0.5),
    lambda chance: frame(TEXT, b"a", final=False) + frame(chance.choice([TEXT, BINARY]), b"b"),
    lambda chance: frame(TEXT, b"a" + chance.choice([b"\xff", b"\xc3", b"\xed\xa0\x80"])),
    lambda chance: in_pieces(TEXT, b"\xe2" if chance.random() < 0.5 else b"\xff", b"", b"\x82"),
    lambda chance: frame(TEXT, b"\xff", final=False) + _aside(chance) + frame(0, b"x"),
    lambda chance: closing(chance.choice([0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000])),
    lambda _chance: frame(CLOSE, b"\x03"),
    lambda chance: closing(1000, chance.choice([b"\xff", b"ab\xc3"])),
]


# ---- the comparison


def compare(count: int, seed: int) -> Counter[str]:
    """Reads so many streams twice. Counts what was read, and what was wrong by its close code.

    Raises ``AssertionError`` with the stream's number where the readers differ.
    """
    tally: Counter[str] = Counter()
    for number, (stream, chance) in enumerate(streams(count, seed)):
        ours, expected = Ours(chance).read(stream), theirs(stream)
        told = ours.told
        if expected.verdict == BAD_UTF8:
            extra = told[len(expected.told) :]
            assert all(what == "ping" for what, _ in extra), (seed, number)
            told = told[: len(expected.told)]
        assert (told, ours.verdict) == (expected.told, expected.verdict), (seed, number)
        tally.update(what for what, _ in told)
        tally[str(ours.verdict or "in order")] += 1
    return tally


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.protocol.fuzz")
    parser.add_argument("--streams", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    started = time.monotonic()
    tally = compare(options.streams, options.seed)
    told = ", ".join(f"{name} {count:,}" for name, count in sorted(tally.items()))
    print(f"{options.streams:,} streams in {time.monotonic() - started:.0f} s: {told}")


if __name__ == "__main__":
    main()

"""What a client may send, and what it may not: each rule of RFC 6455 with its close code."""

from dataclasses import dataclass, field

import pytest

from talksy.transports.socketio.engine.frames import (
    BAD_UTF8,
    BURST,
    FRAGMENTS,
    PROTOCOL_ERROR,
    TOO_BIG,
    Parser,
    Violation,
    binary_frame,
    close_frame,
    is_text,
    payload,
    text_frame,
)
from tests.protocol.frames import BINARY, CLOSE, PING, PONG, TEXT, closing, frame, head, in_pieces

LIMIT = 100_000
MESSAGES = [
    frame(TEXT, "grüß dich".encode()),
    frame(BINARY, bytes(range(200))),
    frame(TEXT),
    in_pieces(TEXT, "ü".encode()[:1], b"", "ü".encode()[1:] + b"ber"),
    frame(TEXT, b"in", final=False) + frame(PING, b"?") + frame(0, b"side"),
    frame(PONG, b"unasked"),
    frame(BINARY, 70_000 * b"x", key=bytes(4)),
    closing(1000, "auf bald, ä".encode()),
]
READ = [
    "grüß dich",
    bytes(range(200)),
    "",
    "über",
    ("ping", b"?"),
    "inside",
    70_000 * b"x",
    ("close", 1000),
]


@dataclass
class Reader:
    """Writes down what was read."""

    parser: Parser = field(init=False)
    read: list[str | bytes | tuple[str, bytes | int]] = field(default_factory=list)
    hesitant: bool = False
    """Whether it stops after each message."""
    burst: bool = False

    def __post_init__(self) -> None:
        self.parser = Parser(self, LIMIT)

    def feed(self, sent: bytes, size: int) -> None:
        """Reads it in pieces of so many bytes."""
        for at in range(0, len(sent), size):
            self.parser.feed(sent[at : at + size])
            while self.burst:
                self.burst = self.parser.paused = False
                self.parser.feed(b"")

    def on_text(self, text: str) -> None:
        self.read.append(text)
        self.parser.paused = self.hesitant

    def on_binary(self, data: bytes) -> None:
        self.read.append(data)
        self.parser.paused = self.hesitant

    def on_ping(self, data: bytes) -> None:
        self.read.append(("ping", data))

    def on_burst(self) -> None:
        self.burst = self.parser.paused = True

    def on_close(self, code: int) -> None:
        self.read.append(("close", code))
        self.parser.paused = True


def test_messages_are_read_in_one_piece() -> None:
    reader = Reader()
    reader.parser.feed(b"".join(MESSAGES))
    assert reader.read == READ


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 64, 1_000])
def test_messages_are_read_in_small_pieces(size: int) -> None:
    reader = Reader()
    reader.feed(b"".join(MESSAGES), size)
    assert reader.read == READ


def test_messages_are_read_however_they_are_cut_in_two() -> None:
    sent = b"".join(each for each in MESSAGES if len(each) < LIMIT / 2)
    expected = [each for each in READ if len(each) < LIMIT / 2]
    for cut in range(len(sent) + 1):
        reader = Reader()
        reader.parser.feed(sent[:cut])
        reader.parser.feed(sent[cut:])
        assert reader.read == expected, cut


def test_who_pauses_is_told_one_message_at_a_time() -> None:
    reader = Reader(hesitant=True)
    reader.parser.feed(frame(TEXT, b"a") + frame(TEXT, b"b") + frame(TEXT, b"c")[:3])
    assert reader.read == ["a"]
    reader.parser.feed(frame(TEXT, b"c")[3:])
    for expected in (["a", "b"], ["a", "b", "c"]):
        reader.parser.paused = False
        reader.parser.feed(b"")
        assert reader.read == expected
    assert reader.parser.holds == 0


def test_a_burst_is_read_bit_by_bit() -> None:
    reader = Reader()
    reader.parser.feed((BURST + 10) * frame(TEXT, b"x"))
    assert len(reader.read) == BURST
    reader.parser.paused = False
    reader.parser.feed(frame(TEXT, b"y"))
    assert reader.read == (BURST + 10) * ["x"] + ["y"]


def test_what_follows_a_goodbye_is_not_read() -> None:
    reader = Reader()
    reader.parser.feed(closing(4_000) + frame(TEXT, b"and another thing") + b"\xff\xff")
    assert reader.read == [("close", 4_000)]


def test_a_goodbye_may_have_no_code() -> None:
    reader = Reader()
    reader.parser.feed(frame(CLOSE))
    assert reader.read == [("close", 1005)]


TOO_LONG_64 = (1 << 63).to_bytes(8, "big")
VIOLATIONS = {
    "unmasked": (frame(TEXT, b"x", key=None), PROTOCOL_ERROR, "unmasked"),
    "first reserved bit": (frame(TEXT, b"x", bits=0x40), PROTOCOL_ERROR, "reserved_bits"),
    "second reserved bit": (frame(TEXT, b"x", bits=0x20), PROTOCOL_ERROR, "reserved_bits"),
    "third reserved bit": (frame(PING, b"x", bits=0x10), PROTOCOL_ERROR, "reserved_bits"),
    **{
        f"opcode {opcode}": (frame(opcode, b"x"), PROTOCOL_ERROR, "opcode")
        for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)
    },
    "16-bit length of 125": (head(TEXT, 125, width=2), PROTOCOL_ERROR, "length"),
    "64-bit length of 65535": (head(TEXT, 65_535, width=8), PROTOCOL_ERROR, "length"),
    "64-bit length with its top bit": (b"\x81\xff" + TOO_LONG_64, PROTOCOL_ERROR, "length"),
    "ping of 126 bytes": (frame(PING, 126 * b"x"), PROTOCOL_ERROR, "control_frame"),
    "close of 126 bytes": (closing(1000, 124 * b"x"), PROTOCOL_ERROR, "control_frame"),
    "ping in pieces": (frame(PING, b"x", final=False), PROTOCOL_ERROR, "control_frame"),
    "a piece of nothing": (frame(0, b"x"), PROTOCOL_ERROR, "fragment"),
    "a piece after the last": (in_pieces(TEXT, b"a", b"b") + frame(0), PROTOCOL_ERROR, "fragment"),
    "a message inside another": (
        frame(TEXT, b"a", final=False) + frame(BINARY, b"b"),
        PROTOCOL_ERROR,
        "fragment",
    ),
    "too long": (head(BINARY, LIMIT + 1), TOO_BIG, "too_big"),
    "too long in pieces": (
        in_pieces(BINARY, 60_000 * b"x", 40_001 * b"x"),
        TOO_BIG,
        "too_big",
    ),
    "too many pieces": (in_pieces(TEXT, *(FRAGMENTS + 1) * [b""]), TOO_BIG, "fragments"),
    "bad UTF-8": (frame(TEXT, b"\xc3("), BAD_UTF8, "utf8"),
    "bad UTF-8 across pieces": (in_pieces(TEXT, b"\xc3", b"("), BAD_UTF8, "utf8"),
    "half a character": (in_pieces(TEXT, b"a", b"\xc3"), BAD_UTF8, "utf8"),
    "a surrogate": (frame(TEXT, b"\xed\xa0\x80"), BAD_UTF8, "utf8"),
    "a reason in bad UTF-8": (closing(1000, b"\xff"), BAD_UTF8, "utf8"),
    "half a close code": (frame(CLOSE, b"\x03"), PROTOCOL_ERROR, "close_code"),
    **{
        f"close code {code}": (closing(code), PROTOCOL_ERROR, "close_code")
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2_999, 5_000, 65_535)
    },
}


@pytest.mark.parametrize(("sent", "code", "why"), VIOLATIONS.values(), ids=VIOLATIONS.keys())
@pytest.mark.parametrize("size", [1, 100_000], ids=["bytewise", "whole"])
def test_what_a_client_may_not_send_has_its_close_code(
    sent: bytes, code: int, why: str, size: int
) -> None:
    with pytest.raises(Violation, match=f"^{why}$") as caught:
        Reader().feed(sent, size)
    assert caught.value.code == code


def test_as_many_pieces_as_may_be_are_put_together() -> None:
    reader = Reader()
    reader.feed(in_pieces(TEXT, *FRAGMENTS * [b"x"]), LIMIT)
    assert reader.read == [FRAGMENTS * "x"]


def test_a_violation_shows_as_soon_as_the_head_is_there() -> None:
    reader = Reader()
    with pytest.raises(Violation, match="fragment"):
        reader.parser.feed(head(0, 50_000))
    assert reader.parser.holds == 0


@pytest.mark.parametrize("length", [0, 125, 126, 65_535, 65_536])
def test_frames_of_ours_carry_what_they_were_given(length: int) -> None:
    data = length * b"x"
    text, binary = text_frame(data), binary_frame(data)
    assert (payload(text), payload(binary)) == (data, data)
    assert (is_text(text), is_text(binary)) == (True, False)
    assert text[: -length or None] == head(TEXT, length, masked=False)
    assert close_frame(1000) == frame(CLOSE, b"\x03\xe8", key=None)

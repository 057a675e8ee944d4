"""Frames of a server, in whatever pieces they come."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.frames import BINARY, PING, TEXT, BadFrame, Frames, framed
from tests.protocol.frames import frame, in_pieces


def read(*pieces: bytes) -> list[tuple[int, bytes]]:
    frames = Frames()
    return [message for piece in pieces for message in frames.feed(piece)]


def sent(opcode: int, payload: bytes) -> bytes:
    """As a server sends it."""
    return frame(opcode, payload, key=None)


@given(st.lists(st.binary(max_size=300), max_size=5), st.integers(1, 50))
def test_messages_are_read_however_the_bytes_come(payloads: list[bytes], size: int) -> None:
    data = b"".join(sent(BINARY, payload) for payload in payloads)
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    assert read(*pieces) == [(BINARY, payload) for payload in payloads]


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536])
def test_every_length_is_read_and_written(size: int) -> None:
    payload = b"x" * size
    assert read(sent(TEXT, payload)) == [(TEXT, payload)]
    # With a mask of zeros, what a client writes is as long as a server's, and four bytes.
    assert len(framed(TEXT, payload)) == len(sent(TEXT, payload)) + 4
    assert framed(TEXT, payload).endswith(payload)


def test_a_message_in_pieces_is_one_and_a_ping_may_come_between() -> None:
    first, *rest = (
        frame(0 if number else TEXT, piece, final=number == 2, key=None)
        for number, piece in enumerate((b"a", b"b", b"c"))
    )
    assert read(first, sent(PING, b"p"), *rest) == [(PING, b"p"), (TEXT, b"abc")]


@pytest.mark.parametrize(
    "data",
    [
        frame(TEXT, b"x"),
        frame(TEXT, b"x", key=None, bits=0x40),
        sent(0, b"x"),
        frame(TEXT, b"x", key=None, final=False) + sent(TEXT, b"y"),
        in_pieces(TEXT, b"x", b"y"),
    ],
    ids=["masked", "compressed", "no beginning", "two beginnings", "masked pieces"],
)
def test_what_no_server_may_send_is_no_message(data: bytes) -> None:
    with pytest.raises(BadFrame):
        read(data)

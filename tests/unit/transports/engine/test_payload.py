"""What a polling client is given and may send."""

import pytest

from talksy.transports.socketio.engine.frames import (
    PROTOCOL_ERROR,
    Violation,
    binary_frame,
    text_frame,
)
from talksy.transports.socketio.engine.payload import MOST, content, joined, split


def test_packets_are_split_and_joined() -> None:
    assert split("4hello\x1ebAQID\x1e3\x1e4ü\n".encode()) == ["4hello", "bAQID", "3", "4ü\n"]
    frames = [text_frame(b"4hello"), binary_frame(b"\1\2\3"), text_frame(b"2")]
    assert joined(frames) == b"4hello\x1ebAQID\x1e2"


@pytest.mark.parametrize("data", [b"", b"x", bytes(range(256)), 70_000 * b"x"])
def test_bytes_come_through_as_base64(data: bytes) -> None:
    (packet,) = split(joined([binary_frame(data)]))
    assert content(packet) == data


def test_text_is_what_follows_the_type() -> None:
    assert content("4") == ""
    assert content("4b?") == "b?"


@pytest.mark.parametrize("packet", ["b?", "bA", "bAQI\n", "bÄQID", "b AQID"])
def test_what_is_no_base64_is_refused(packet: str) -> None:
    with pytest.raises(Violation, match="base64") as caught:
        content(packet)
    assert caught.value.code == PROTOCOL_ERROR


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "packet_type"),
        (b"4a\x1e", "packet_type"),
        (b"\x1e4a", "packet_type"),
        (b"2", "packet_type"),
        (b"0{}", "packet_type"),
        (b"hello", "packet_type"),
        (b"4\xff", "utf8"),
        (b"\x1e".join((MOST + 1) * [b"4"]), "packets"),
    ],
)
def test_what_is_no_payload_is_refused(body: bytes, why: str) -> None:
    with pytest.raises(Violation, match=f"^{why}$"):
        split(body)


def test_as_many_packets_as_may_be_are_read() -> None:
    assert len(split(b"\x1e".join(MOST * [b"4"]))) == MOST

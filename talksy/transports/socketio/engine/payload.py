"""What a polling client is given and sends: Engine.IO packets as text, one after the other.

Packets lie in a socket's queue as the WebSocket frames they would be, so that each is encoded once,
whatever its readers came by.
"""

import base64
import binascii
from collections.abc import Iterable

from talksy.transports.socketio.engine.frames import PROTOCOL_ERROR, Violation, is_text, payload

OPEN, CLOSE, PING, PONG, MESSAGE, UPGRADE, NOOP = "0123456"
BINARY = "b"
"""How a message begins that is bytes, in base64."""
SEPARATOR = "\x1e"
MOST = 1_000
"""So many packets a payload may have: a client that was offline sends all that it gathered."""
_FROM_CLIENTS = frozenset({CLOSE, PONG, MESSAGE, UPGRADE, BINARY})


def content(packet: str) -> str | bytes:
    """What a message carries: text, or bytes. Raises ``Violation``."""
    if packet[0] != BINARY:
        return packet[1:]
    try:
        return base64.b64decode(packet[1:], validate=True)
    except (binascii.Error, ValueError):
        raise Violation(PROTOCOL_ERROR, "base64") from None


def joined(frames: Iterable[bytes]) -> bytes:
    """Frames as the body of a poll's answer."""
    return SEPARATOR.encode().join(
        payload(frame) if is_text(frame) else BINARY.encode() + base64.b64encode(payload(frame))
        for frame in frames
    )


def split(body: bytes) -> list[str]:
    """The packets of a polled body, each with its type. Raises ``Violation``."""
    try:
        packets = body.decode().split(SEPARATOR)
    except UnicodeDecodeError:
        raise Violation(PROTOCOL_ERROR, "utf8") from None
    if len(packets) > MOST:
        raise Violation(PROTOCOL_ERROR, "packets")
    if not all(packet[:1] in _FROM_CLIENTS for packet in packets):
        raise Violation(PROTOCOL_ERROR, "packet_type")
    return packets

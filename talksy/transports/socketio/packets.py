"""Socket.IO packets, refused where they are not well formed."""

import re
from typing import Any

from socketio.packet import BINARY_ACK, BINARY_EVENT, CONNECT, EVENT, Packet

from talksy.transports.reading import simple

PACKET_TYPES = frozenset("0123456")
NAMESPACE_CHARS = 100


def plain_event(text: str) -> tuple[str, list[Any], int | None] | None:
    """The name, arguments and number of an event of the root namespace, as nearly all packets are;
    None where ``Strict`` is to look.
    """
    found = _PLAIN.match(text)
    if found is None:
        return None
    data = simple(text[found.end() :])
    if type(data) is not list or not data or type(data[0]) is not str:
        return None
    number = found[1]
    return data[0], data[1:], int(number) if number else None


def plain_connect(text: str) -> dict[str, Any] | None:
    """What a client says to be let in to the root namespace, as nearly all of them say it; None
    where ``Strict`` is to look.
    """
    auth = simple(text[1:]) if text.startswith("0{") else None
    return auth if type(auth) is dict else None


_PLAIN = re.compile(r"2(\d{0,15})(?=\[)")


class Strict(Packet):  # type: ignore[misc]
    """A Socket.IO packet that is refused where it is not well formed."""

    attachments_allowed = 10
    attached_bytes = 2_000_000
    """All attachments of a packet together."""

    def decode(self, encoded_packet: Any) -> int:
        if not isinstance(encoded_packet, str):
            raise ValueError("binary data that no packet announced")  # noqa: TRY004
        if encoded_packet[:1] not in PACKET_TYPES:
            raise ValueError("no such packet type")
        count = int(super().decode(encoded_packet) or 0)
        if self.packet_type == CONNECT and self.id is not None:
            self.data = self.id  # nobody acknowledges this packet: the number is its auth
        if len(self.namespace or "") > NAMESPACE_CHARS:
            raise ValueError("no such namespace")
        if count > self.attachments_allowed:
            raise ValueError(f"{count} attachments, {self.attachments_allowed} are allowed")
        if self.packet_type in {BINARY_EVENT, BINARY_ACK} and count == 0:
            raise ValueError("a binary packet without attachments")
        events = {EVENT, BINARY_EVENT}
        if self.packet_type in events and not (
            isinstance(self.data, list) and self.data and isinstance(self.data[0], str)
        ):
            raise ValueError("an event is a list that begins with its name")
        return count

    def add_attachment(self, attachment: bytes) -> bool:
        if sum(map(len, self.attachments)) + len(attachment) > self.attached_bytes:
            raise ValueError(f"its attachments have more than {self.attached_bytes} bytes")
        return bool(super().add_attachment(attachment))

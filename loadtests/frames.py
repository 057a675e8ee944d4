"""WebSocket frames, as a client writes and reads them. Nothing here waits for anything."""

from collections.abc import Iterator

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA
_FINAL, _MASKED = 0x80, 0x80
_NO_MASK = bytes(4)
"""A mask of zeros is one, too, and leaves the bytes as they are."""


class BadFrame(ValueError):
    """What came is no frame that a server may send."""


def framed(opcode: int, payload: bytes) -> bytes:
    """One whole message of a client."""
    size = len(payload)
    head = bytes((_FINAL | opcode,))
    if size < 126:
        head += bytes((_MASKED | size,))
    elif size < 1 << 16:
        head += bytes((_MASKED | 126,)) + size.to_bytes(2, "big")
    else:
        head += bytes((_MASKED | 127,)) + size.to_bytes(8, "big")
    return head + _NO_MASK + payload


class Frames:
    """Makes messages of the bytes of a line, in whatever pieces these come."""

    def __init__(self) -> None:
        self._rest = b""
        self._opcode = 0
        self._pieces: list[bytes] = []

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """The messages that are whole now: opcode and payload. Raises ``BadFrame``."""
        data, at = self._rest + data, 0
        self._rest = b""
        while True:
            start, size = _head(data, at)
            if start + size > len(data) or start == 0:
                self._rest = data[at:]
                return
            payload = data[start : start + size]
            whole = self._joined(data[at], payload)
            at = start + size
            if whole is not None:
                yield whole

    def _joined(self, first: int, payload: bytes) -> tuple[int, bytes] | None:
        """The message, unless more of it is to come."""
        if first & 0x70:
            raise BadFrame("a frame with reserved bits, though no extension was agreed on")
        opcode = first & 0x0F
        if opcode >= CLOSE:
            return opcode, payload
        if bool(opcode) == bool(self._opcode):
            raise BadFrame("a message began inside another, or went on without a beginning")
        if not self._opcode and first & _FINAL:
            return opcode, payload
        self._opcode = self._opcode or opcode
        self._pieces.append(payload)
        if not first & _FINAL:
            return None
        opcode, payload = self._opcode, b"".join(self._pieces)
        self._opcode, self._pieces = 0, []
        return opcode, payload


def _head(data: bytes, at: int) -> tuple[int, int]:
    """Where the payload of the frame at ``at`` starts, and its size; 0, 0 where that is not known
    yet.
    """
    if len(data) < at + 2:
        return 0, 0
    size, start = data[at + 1], at + 2
    if size & _MASKED:
        raise BadFrame("a masked frame from a server")
    if size < 126:
        return start, size
    wide = 2 if size == 126 else 8
    if len(data) < start + wide:
        return 0, 0
    return start + wide, int.from_bytes(data[start : start + wide], "big")

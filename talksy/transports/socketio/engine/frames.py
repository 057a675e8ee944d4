"""WebSocket frames as a server writes and reads them (RFC 6455, section 5).

No extension is negotiated, so that a reserved bit is a violation. Who sends writes whole frames;
what comes in pieces is put together here, and nothing is believed before it was looked at.
"""

from typing import Protocol

from aiohttp._websocket.helpers import websocket_mask

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA

NORMAL = 1000
PROTOCOL_ERROR = 1002
BAD_UTF8 = 1007
TOO_BIG = 1009
OUR_FAULT = 1011

FRAGMENTS = 1_024
"""Of so many pieces a message may be."""
BURST = 1_000
"""So many frames are read at once; then others have their turn."""
CONTROL_BYTES = 125
_FINAL = 0x80
_SHORT = [bytes((_FINAL | TEXT, length)) for length in range(126)]
"""How the short text frames begin, that is nearly all."""
_TOLD = frozenset({*range(1000, 1004), *range(1007, 1015)})
"""The close codes that may be sent (section 7.4.1), beside 3000 to 4999."""


class Violation(Exception):
    """What a client may not send. The connection is to be closed."""

    def __init__(self, code: int, why: str) -> None:
        """``code`` is the WebSocket's close code; ``why`` one of a few words, for the counter."""
        super().__init__(why)
        self.code = code
        self.why = why


def head(opcode: int, length: int) -> bytes:
    """How a frame of ``length`` bytes begins."""
    if length < 126:
        return bytes((_FINAL | opcode, length))
    if length < 1 << 16:
        return b"%c~%b" % (_FINAL | opcode, length.to_bytes(2, "big"))
    return b"%c\x7f%b" % (_FINAL | opcode, length.to_bytes(8, "big"))


def text_frame(text: bytes) -> bytes:
    """A text message in one frame. ``text`` is UTF-8."""
    length = len(text)
    return (_SHORT[length] if length < 126 else head(TEXT, length)) + text


def binary_frame(data: bytes) -> bytes:
    """A binary message in one frame."""
    return head(BINARY, len(data)) + data


def close_frame(code: int, why: str = "") -> bytes:
    """The frame that says goodbye, and why."""
    words = why.encode()
    return head(CLOSE, 2 + len(words)) + code.to_bytes(2, "big") + words


def payload(frame: bytes) -> bytes:
    """What a frame of ours carries."""
    length = frame[1]
    return frame[2 if length < 126 else 4 if length == 126 else 10 :]


def is_text(frame: bytes) -> bool:
    """Whether a frame of ours carries text."""
    return frame[0] == _FINAL | TEXT


class Sink(Protocol):
    """Who is given what was read."""

    def on_text(self, text: str) -> None:
        """A text message."""

    def on_binary(self, data: bytes) -> None:
        """A binary message."""

    def on_ping(self, data: bytes) -> None:
        """A ping of the WebSocket, to be answered with the same bytes."""

    def on_close(self, code: int) -> None:
        """The goodbye; ``code`` is 1005 where there was none. Nothing may follow it."""

    def on_burst(self) -> None:
        """Many frames came at once: to be paused, and read on in a moment."""


class Parser:
    """Reads what a client sends, in whatever pieces it comes.

    It holds at most one message of ``limit`` bytes and what came with it in one read.
    """

    __slots__ = ("_held", "_joined", "_limit", "_needed", "_opcode", "_pieces", "_sink", "paused")

    def __init__(self, sink: Sink, limit: int) -> None:
        self._sink = sink
        self._limit = limit
        self._held: bytes | bytearray = b""
        self._needed = 0
        """So many bytes must be there before it is worth looking again."""
        self._joined: bytearray | None = None
        """The pieces of a message that is not whole yet."""
        self._pieces = 0
        self._opcode = 0
        self.paused = False
        """What comes is held, not read: until it is unset and ``feed(b"")`` called. The sink may
        set it in the middle of a call; once it was closed, it sets it for good."""

    @property
    def holds(self) -> int:
        """How many bytes wait to be read."""
        return len(self._held) + (len(self._joined) if self._joined is not None else 0)

    def feed(self, data: bytes) -> None:
        """Reads on, as far as there are whole frames. Raises ``Violation``."""
        if self._held or self.paused:
            if not isinstance(self._held, bytearray):
                self._held = bytearray(self._held)
            self._held += data
            if self.paused or len(self._held) < self._needed:
                return
            data = bytes(self._held)
            self._held = b""
        there, at, left, self._needed = len(data), 0, BURST, 0
        while there - at >= 2 and not self.paused:
            start, end = self._measure(data, at, there)
            if not 0 < end <= there:
                self._needed = end - at if end else 0
                break
            first = data[at]
            at = end
            try:
                self._frame(first, self._unmasked(data, start, end))
            except BaseException:
                self._held = b""
                raise
            left -= 1
            if not (left or self.paused):
                self._sink.on_burst()
        if at < there:
            self._held = data[at:] if at else data

    def _measure(self, data: bytes, at: int, there: int) -> tuple[int, int]:
        """Where the frame's mask begins, and where the frame ends; the end is 0 where its length
        has not come yet.
        """
        first, length = data[at], data[at + 1]
        if first & 0x70:
            raise Violation(PROTOCOL_ERROR, "reserved_bits")
        if not length & 0x80:
            raise Violation(PROTOCOL_ERROR, "unmasked")
        length &= 0x7F
        at += 2
        opcode = first & 0xF
        if opcode >= CLOSE and (length > CONTROL_BYTES or not first & _FINAL):
            raise Violation(PROTOCOL_ERROR, "control_frame")
        if opcode not in _KNOWN:
            raise Violation(PROTOCOL_ERROR, "opcode")
        if opcode < CLOSE and (opcode == 0) == (self._joined is None):
            # A piece of nothing, or a message in the middle of another.
            raise Violation(PROTOCOL_ERROR, "fragment")
        if length >= 126:
            width = 2 if length == 126 else 8
            if there - at < width:
                return at, 0
            length = int.from_bytes(data[at : at + width], "big")
            at += width
            if length >> 63 or length < (126 if width == 2 else 1 << 16):
                raise Violation(PROTOCOL_ERROR, "length")
        held = len(self._joined) if self._joined is not None and opcode == 0 else 0
        if length + held > self._limit:
            raise Violation(TOO_BIG, "too_big")
        return at, at + 4 + length

    @staticmethod
    def _unmasked(data: bytes, start: int, end: int) -> bytes:
        mask, masked = data[start : start + 4], data[start + 4 : end]
        length = len(masked)
        if mask == b"\0\0\0\0" or not length:
            return masked
        if length < 64:
            # Quicker than the call below, which wants an array of its own.
            key = int.from_bytes((mask * (length // 4 + 1))[:length], "little")
            return (int.from_bytes(masked, "little") ^ key).to_bytes(length, "little")
        array = bytearray(masked)
        websocket_mask(mask, array)
        return bytes(array)

    def _frame(self, first: int, data: bytes) -> None:
        opcode = first & 0xF
        if opcode >= CLOSE:
            self._control(opcode, data)
        elif first & _FINAL and opcode:
            self._message(opcode, data)
        else:
            self._piece(first, data)

    def _piece(self, first: int, data: bytes) -> None:
        if self._joined is None:
            self._opcode, self._joined, self._pieces = first & 0xF, bytearray(), 0
        self._joined += data
        self._pieces += 1
        if self._pieces > FRAGMENTS:
            raise Violation(TOO_BIG, "fragments")
        if first & _FINAL:
            whole, self._joined = bytes(self._joined), None
            self._message(self._opcode, whole)

    def _message(self, opcode: int, data: bytes) -> None:
        if opcode == BINARY:
            self._sink.on_binary(data)
        else:
            self._sink.on_text(_decoded(data))

    def _control(self, opcode: int, data: bytes) -> None:
        if opcode == PING:
            self._sink.on_ping(data)
        elif opcode == CLOSE:
            code = int.from_bytes(data[:2], "big") if data else 1005
            if len(data) == 1 or (data and not (code in _TOLD or 3000 <= code < 5000)):
                raise Violation(PROTOCOL_ERROR, "close_code")
            _decoded(data[2:])
            self._sink.on_close(code)


_KNOWN = frozenset({0, TEXT, BINARY, CLOSE, PING, PONG})


def _decoded(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise Violation(BAD_UTF8, "utf8") from None

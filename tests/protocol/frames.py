"""WebSocket frames as a client writes them, right or wrong."""

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA
FINAL = 0x80
KEY = b"\x37\xfa\x21\x3d"


def frame(
    opcode: int, data: bytes = b"", *, final: bool = True, key: bytes | None = KEY, bits: int = 0
) -> bytes:
    """A frame, masked with ``key`` unless that is None; ``bits`` are reserved ones of its head."""
    return head(opcode, len(data), final=final, masked=key is not None, bits=bits) + (
        data if key is None else key + masked(data, key)
    )


def head(
    opcode: int,
    length: int,
    *,
    final: bool = True,
    masked: bool = True,
    bits: int = 0,
    width: int | None = None,
) -> bytes:
    """How a frame begins, up to its mask. ``width`` is how many bytes tell the length, 0, 2 or 8;
    as few as can be if None.
    """
    if width is None:
        width = 0 if length < 126 else 2 if length < 1 << 16 else 8
    told = {0: length, 2: 126, 8: 127}[width] | (0x80 if masked else 0)
    first = opcode | bits | (FINAL if final else 0)
    return bytes((first, told)) + (length.to_bytes(width, "big") if width else b"")


def masked(data: bytes, key: bytes) -> bytes:
    """Masks or unmasks."""
    stream = (key * (len(data) // 4 + 1))[: len(data)]
    return (int.from_bytes(data, "big") ^ int.from_bytes(stream, "big")).to_bytes(len(data), "big")


def closing(code: int, reason: bytes = b"") -> bytes:
    """The goodbye."""
    return frame(CLOSE, code.to_bytes(2, "big") + reason)


def in_pieces(opcode: int, *pieces: bytes) -> bytes:
    """A message in as many frames."""
    last = len(pieces) - 1
    return b"".join(
        frame(0 if number else opcode, piece, final=number == last)
        for number, piece in enumerate(pieces)
    )

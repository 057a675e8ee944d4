"""What is said, and by whom. Words: they import nothing of ours."""

from dataclasses import dataclass
from typing import Literal

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens a model read and wrote, as its vendor counts them."""

    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation as history keeps it."""

    id: str
    role: Role
    content: str
    created_at: int
    """Milliseconds since the epoch."""
    turn_id: str | None = None
    interrupted: bool = False
    """The answer was cut short; ``content`` is what the client was given of it."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """One message as a model reads it."""

    role: Role
    content: str


def size(text: str) -> int:
    """The bytes of ``text`` in UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def clean(text: str) -> str:
    """``text`` as it can be stored and sent: NULs and halves of characters become U+FFFD."""
    if "\0" in text:
        text = text.replace("\0", "\ufffd")
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        # Two halves that lie side by side are one character.
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text

"""What is said, and by whom. Words: they import nothing of ours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

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
class ToolSpec:
    """A tool as a model is told of it; ``parameters`` is a JSON Schema."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A model asks for a tool, its arguments complete."""

    id: str
    name: str
    arguments: Mapping[str, Any] | None
    """None where what the model wrote is no JSON object."""
    raw: str = ""
    """What it wrote, where that is none."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """One message as a model reads it."""

    role: Role | Literal["tool"]
    """``tool``: what a call that the model asked for came to."""
    content: str
    calls: Sequence[ToolCall] = ()
    """What an assistant asked for behind its text. A ``tool`` for each follows."""
    call_id: str | None = None
    """Of a ``tool``: the call that it answers."""


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

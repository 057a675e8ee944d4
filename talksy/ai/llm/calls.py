"""Tools on the wire of chat completions: how they are offered, called and answered.

A call comes in pieces, and several calls of one answer come interleaved. Compatible servers differ:
an id may be missing, empty or the same for all calls, an index be left out or always 0. So theirs
only tell the pieces apart, and each call gets an id of ours; no vendor minds which it is.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from talksy.ids import new_id
from talksy.messages import Prompt, ToolCall, ToolSpec, clean, size

MOST_CALLS = 128
"""In one answer."""
MOST_BYTES = 1_048_576
"""The arguments of one answer's calls together."""
MOST_RAW = 2_000
"""Characters that are kept of arguments that cannot be read."""
_LONGEST_NAME = 128
"""Longer than a tool's name may be, so that what is left of one that is cut names no tool."""

_REFUSED = re.compile(r"[^A-Za-z0-9_-]")


def offered(tool: ToolSpec) -> dict[str, Any]:
    """A tool as a request offers it."""
    function = {
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
    }
    return {"type": "function", "function": function}


def worded(prompt: Prompt) -> dict[str, Any]:
    """A prompt as a request has it."""
    if prompt.role == "tool":
        return {"role": "tool", "tool_call_id": prompt.call_id, "content": prompt.content}
    if not prompt.calls:
        return {"role": prompt.role, "content": prompt.content}
    calls = [
        {"id": call.id, "type": "function", "function": _function(call)} for call in prompt.calls
    ]
    return {"role": prompt.role, "content": prompt.content or None, "tool_calls": calls}


def _function(call: ToolCall) -> dict[str, str]:
    """What a model asked for, as vendors take it back.

    They refuse a name that no tool could have, and many refuse arguments that are no JSON: the
    model is shown what it wrote under a name that says so.
    """
    arguments = {"invalid_json": call.raw} if call.arguments is None else dict(call.arguments)
    return {
        "name": _REFUSED.sub("_", call.name)[:64],
        "arguments": orjson.dumps(arguments).decode(),
    }


@dataclass(slots=True)
class _Call:
    """A call as far as it has come; its arguments arrive as pieces of JSON text."""

    id: str = ""
    name: str = ""
    pieces: list[str] = field(default_factory=list)


class Calls:
    """The calls of one answer, as far as they have come."""

    __slots__ = ("_by_index", "_bytes", "_calls")

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._by_index: dict[int, _Call] = {}
        self._bytes = 0

    @property
    def excessive(self) -> bool:
        """Whether there are too many of them, or too much in them."""
        return len(self._calls) > MOST_CALLS or self._bytes > MOST_BYTES

    def add(self, piece: Any) -> None:
        """Takes a piece as the SDK gives it. Raises ``TypeError`` for what is none."""
        function = piece.function
        name = (function and function.name) or ""
        text = (function and function.arguments) or ""
        if not isinstance(name, str) or not isinstance(text, str):
            raise TypeError("a call is not text")
        call = self._call(piece.index, piece.id or "", name)
        call.id = piece.id or call.id
        call.name = name or call.name
        call.pieces.append(text)
        self._bytes += size(text)

    def _call(self, index: int | None, id: str, name: str) -> _Call:  # noqa: A002
        """The call that a piece belongs to.

        A name under an index that has a call already begins another one where it has another id;
        a new id alone does not, since some servers make one up for each piece. Without an index a
        name begins a call, and so does a new id.
        """
        if index is not None:
            call = self._by_index.get(index)
            goes_on = call is not None and not (name and id and call.id and id != call.id)
        else:
            call = self._calls[-1] if self._calls else None
            goes_on = call is not None and not name and id in ("", call.id)
        if call is None or not goes_on:
            call = _Call()
            self._calls.append(call)
        if index is not None:
            self._by_index[index] = call
        return call

    def whole(self, *, cut: bool) -> list[ToolCall]:
        """All of them. ``cut``: the answer was ended where it had become too long.

        One whose name never came has an empty one.
        """
        return [_complete(call, cut=cut) for call in self._calls]


def _complete(call: _Call, *, cut: bool) -> ToolCall:
    # Halves of a character that came in two pieces are one again.
    text = clean("".join(call.pieces))
    name = clean(call.name)[:_LONGEST_NAME]
    # Nothing at all means no arguments, unless something was still to come.
    arguments = _object(text if cut or text.strip() else "{}")
    raw = text[:MOST_RAW] if arguments is None else ""
    return ToolCall(new_id("call"), name, arguments, raw)


def _object(text: str) -> Mapping[str, Any] | None:
    """The JSON object that ``text`` is; None where it is none, or too deep to be written again."""
    try:
        value = orjson.loads(text)
        orjson.dumps(value)
    except (ValueError, TypeError):
        return None
    return value if isinstance(value, dict) else None

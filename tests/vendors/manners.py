"""What vendors refuse in a request, and what they hear in one that is well formed."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from talksy.messages import Prompt, ToolCall, ToolSpec

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LONGEST_ID = 40

Wire = Mapping[str, Any]


def fault(body: Wire) -> str | None:
    """Why OpenAI would answer 400 to a request, None where it would not."""
    for tool in body.get("tools", []):
        function = tool["function"]
        if not _NAME.fullmatch(function["name"]) or function["parameters"]["type"] != "object":
            return f"a tool that cannot be: {tool}"
    return next(_faults(body.get("messages", [])), None)


def _faults(messages: Sequence[Wire]) -> Iterator[str]:
    open_: list[str] = []
    for message in messages:
        role, calls = message["role"], message.get("tool_calls")
        if role == "tool":
            if message["tool_call_id"] not in open_:
                yield "a result that nothing was asked for"
            open_ = [each for each in open_ if each != message["tool_call_id"]]
        elif open_:
            yield "a call without its result"
        if not isinstance(message["content"], str) and not (calls and message["content"] is None):
            yield "a message without a text"
        if calls is not None:
            open_ = [call["id"] for call in calls]
            yield from _faults_of_calls(role, calls)
    if open_:
        yield "a call without its result"


def _faults_of_calls(role: str, calls: Sequence[Wire]) -> Iterator[str]:
    ids = {call["id"] for call in calls}
    if role != "assistant" or not calls or len(ids) < len(calls):
        yield "calls of somebody else, none at all, or two of one id"
    if not all(0 < len(each) <= _LONGEST_ID for each in ids):
        yield "an id that is too long"
    for call in calls:
        function = call["function"]
        if call["type"] != "function" or not _NAME.fullmatch(function["name"]):
            yield "a call of what cannot be a tool"
        if not _object(function["arguments"]):
            yield "arguments that are no object"


def _object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def heard(messages: Sequence[Wire]) -> list[Prompt]:
    """A conversation as it was before it went out."""
    return [
        Prompt(
            message["role"],
            message["content"] or "",
            [_call(call) for call in message.get("tool_calls", [])],
            message.get("tool_call_id"),
        )
        for message in messages
    ]


def _call(call: Wire) -> ToolCall:
    function = call["function"]
    return ToolCall(call["id"], function["name"], json.loads(function["arguments"]))


def offered(body: Wire) -> list[ToolSpec]:
    """The tools that were offered."""
    return [ToolSpec(**tool["function"]) for tool in body.get("tools", [])]

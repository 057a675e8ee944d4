"""What a model is given to read, and how much of it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from talksy.events import ToolDone
from talksy.messages import Prompt

BYTES_PER_TOKEN = 4
"""A token is about four characters of English (OpenAI, "What are tokens and how to count them?");
counted in bytes of UTF-8, so that scripts with more tokens a character are not underrated."""
RESULT_CHARS = 16_000
"""So much of a tool's result a model is given; the client is given all of it."""
LEFT_OUT = '{"untrusted":true,"result":"(left out: the conversation is too long)"}'


def trim(prompts: Sequence[Prompt], budget: int) -> list[Prompt]:
    """The newest prompts that fit into ``budget`` tokens, estimated.

    A leading system prompt and the newest message always stay; the oldest others go first.
    """
    head = list(prompts[:1]) if prompts and prompts[0].role == "system" else []
    rest = prompts[len(head) :]
    room = budget - sum(map(_tokens, head))
    kept = len(rest)
    for prompt in reversed(rest):
        room -= _tokens(prompt)
        if room < 0 and kept < len(rest):
            break
        kept -= 1
    return [*head, *rest[kept:]]


def _tokens(prompt: Prompt) -> int:
    size = len(prompt.content.encode("utf-8", "replace"))
    for call in prompt.calls:
        size += len(call.name) + len(_json(call.arguments))
    return size // BYTES_PER_TOKEN + 1


def fit(prompts: Sequence[Prompt], rounds: Sequence[Prompt], budget: int) -> list[Prompt]:
    """What was said before a question, and ``rounds`` of tools since, within ``budget`` tokens.

    Of the conversation what ``trim`` keeps; where the rounds alone are too long, what the oldest
    calls returned is left out, but never what the last ones did.
    """
    kept = list(rounds)
    newest = max(number for number, prompt in enumerate(kept) if prompt.calls)
    head = trim(prompts, 0)
    room = budget - sum(map(_tokens, [*head, *kept]))
    for number, prompt in enumerate(kept[:newest]):
        if room >= 0:
            break
        if prompt.role == "tool":
            kept[number] = replace(prompt, content=LEFT_OUT)
            room += _tokens(prompt) - _tokens(kept[number])
    return [*trim(prompts, budget - sum(map(_tokens, kept))), *kept]


def result_text(done: ToolDone) -> str:
    """What a model is told of a call: data that it shall not take for instructions, or the error.

    JSON, ``{"untrusted": true, "result": …}`` or ``{"untrusted": true, "error": {"code": …,
    "message": …}}``. Of a result that is too long its beginning is given, as text.
    """
    if done.error is not None:
        return error_text(done.error)
    text = _json({"untrusted": True, "result": done.result})
    if len(text) <= RESULT_CHARS:
        return text
    whole = done.result if isinstance(done.result, str) else _json(done.result)
    return _json({"untrusted": True, "result": whole[:RESULT_CHARS], "cut": True})


def error_text(error: Mapping[str, Any]) -> str:
    """As ``result_text``, of a call that came to nothing: also what it failed of is data."""
    return _json({"untrusted": True, "error": error})


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()

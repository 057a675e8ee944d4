"""What the mock model does in one answer, as far as it can be told beforehand."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain, takewhile

import orjson

from talksy.ai.llm.directive import Directive, DirectiveError, Wish, parse
from talksy.ai.llm.replies import reply, report
from talksy.ai.llm.wishes import hear
from talksy.ids import new_id
from talksy.messages import Prompt, ToolCall, ToolSpec


@dataclass(frozen=True, slots=True)
class Scene:
    """One answer: the texts, then the calls."""

    course: Directive
    """Its pace and its faults."""
    texts: Iterable[str]
    calls: Sequence[ToolCall] = ()


def stage(messages: Sequence[Prompt], tools: Sequence[ToolSpec] = (), *, directives: bool) -> Scene:
    """The answer to ``messages``.

    It depends on the newest message of the user's, on what was asked for since, and on what tools
    there are. A directive may ask for others than those.
    """
    newest = messages[-1] if messages else Prompt("user", "")
    if newest.role not in ("user", "tool"):
        return _saying(reply(newest.content))
    question, since = _split(messages)
    try:
        directive = parse(question) if directives else None
    except DirectiveError as error:
        return _saying(str(error))
    if directive is None:
        wish = hear(question, {tool.name for tool in tools})
        directive = Directive(tokens=0, wishes=(wish,) if wish else ())
        if newest.role == "user" and not wish:
            return _saying(reply(newest.content))
    # What was asked for may have been trimmed away; its results are there.
    done = sum(bool(prompt.calls) for prompt in since) or int(newest.role == "tool")
    if directive.wishes and done < directive.rounds:
        return _asking(directive, done)
    return _telling(directive, since)


def _split(messages: Sequence[Prompt]) -> tuple[str, Sequence[Prompt]]:
    """What the user said last, and what came of it since."""
    for at in range(len(messages) - 1, -1, -1):
        if messages[at].role == "user":
            return messages[at].content, messages[at + 1 :]
    return "", messages


def _saying(text: str) -> Scene:
    return Scene(Directive(tokens=0), _words(text))


def _words(text: str) -> list[str]:
    return re.findall(r"\S+\s*", text)


def _asking(directive: Directive, done: int) -> Scene:
    """A round of calls, after ``done`` others."""
    calls = [_call(wish, broken=done < directive.broken) for wish in directive.wishes]
    course = replace(directive, tokens=directive.before, fail_after=None, hang_after=None)
    return Scene(course, course.texts(), calls)


def _call(wish: Wish, *, broken: bool) -> ToolCall:
    if not broken:
        return ToolCall(new_id("call"), wish.name, wish.arguments)
    raw = orjson.dumps(wish.arguments).decode().removesuffix("}")
    return ToolCall(new_id("call"), wish.name, None, raw)


def _telling(directive: Directive, since: Sequence[Prompt]) -> Scene:
    """The tokens, then what the calls of the last round came to."""
    names = {call.id: call.name for prompt in since for call in prompt.calls}
    results = [*takewhile(lambda prompt: prompt.role == "tool", reversed(since))][::-1]
    told = [report(names.get(each.call_id or "", "A tool"), each.content) for each in results]
    return Scene(directive, chain(directive.texts(), _words(" ".join(told))))

"""The mock model's directive: rehearse any course of a turn from any client.

    /mock tokens=500 delay_ms=10 chars=5 fail_after=200 hang_after=300 tool=get_order_status {"orderId": "ORD-1001"}

Every part is optional, in any order; the JSON object, if any, follows ``tool=NAME``. That part may
stand there up to 32 times: all of these tools are asked for at once.

| part | what it does |
|---|---|
| ``tokens=N`` | writes N tokens, at most 100,000; token *i*, counted from 0, is its number and a blank |
| ``chars=N`` | fills each token up with blanks at its end to N characters, at most 1,000 |
| ``at_ms=N`` | waits for that moment, in ms since the epoch, but at most a minute |
| ``delay_ms=N`` | waits between tokens, at most 60,000 ms; the model's own pace if left out |
| ``burst=N`` | gives N tokens at a time, at most 1,000; the wait is between those |
| ``fail_after=N`` | fails with ``PROVIDER_UNAVAILABLE`` after N tokens |
| ``hang_after=N`` | goes silent after N tokens, until it is closed |
| ``tool=NAME {…}`` | asks for the tool, with ``{}`` if no object follows |
| ``before=N`` | writes N tokens before it asks, at most 1,000 |
| ``rounds=N`` | asks for the same again after the results, N times in all, at most 100; once if left out |
| ``broken=N`` | the first N times the arguments are no JSON, at most 100 |

What tools are asked for comes first. The tokens, and all that is said of them, are of the answer
after their results, and what they came to stands behind them. The pace counts for both.

Without ``tokens`` there are as many as ``fail_after`` or ``hang_after`` needs, none beside a tool,
and 20 otherwise. A fault beyond the last token does not happen; of two, the nearer one does, and
failing wins a tie.
"""  # noqa: E501 (the example is one line, since a message is, and so is a row of a table)

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

FORM = (
    "/mock tokens=500 delay_ms=10 chars=5 fail_after=200 hang_after=300 "
    'tool=get_order_status {"orderId": "ORD-1001"}'
)
MOST = {
    "tokens": 100_000,
    "chars": 1_000,
    "at_ms": 10**14,
    "delay_ms": 60_000,
    "burst": 1_000,
    "fail_after": 100_000,
    "hang_after": 100_000,
    "before": 1_000,
    "rounds": 100,
    "broken": 100,
}
"""The parts that are numbers, each with the most it may be."""

MOST_TOOLS = 32
_WITH_TOOLS = ("before", "rounds", "broken")
"""What says nothing without a tool."""
_PLAIN_TOKENS = 20
_TOOL_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


@dataclass(frozen=True, slots=True)
class Wish:
    """A tool that is to be asked for."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Directive:
    """What the mock model is told to do."""

    tokens: int
    chars: int = 0
    at_ms: int = 0
    delay_ms: int | None = None
    burst: int = 0
    fail_after: int | None = None
    hang_after: int | None = None
    wishes: tuple[Wish, ...] = ()
    before: int = 0
    rounds: int = 1
    broken: int = 0

    def texts(self) -> Iterator[str]:
        """The tokens, each of ``max(chars, digits + 1)`` characters."""
        return (f"{number} ".ljust(self.chars) for number in range(self.tokens))


class DirectiveError(ValueError):
    """A directive that cannot be followed; its text is for the person who wrote it."""

    def __init__(self, fault: str) -> None:
        super().__init__(
            f"I cannot follow this directive: {fault}. Every part is optional: {FORM}",
        )


def parse(text: str) -> Directive | None:
    """The directive in ``text``, or None if it is none. Raises ``DirectiveError``."""
    if text.split(maxsplit=1)[:1] != ["/mock"]:
        return None
    parts: dict[str, int] = {}
    wishes: list[Wish] = []
    rest = text.lstrip().removeprefix("/mock").lstrip()
    while rest:
        rest = _take(rest, parts, wishes).lstrip()
    for key in _WITH_TOOLS:
        if key in parts and not wishes:
            raise DirectiveError(f'"{key}" says nothing without a tool')
    tokens = _tokens(parts, tools=bool(wishes))
    return Directive(**{"tokens": tokens, **parts}, wishes=tuple(wishes))


def _take(rest: str, parts: dict[str, int], wishes: list[Wish]) -> str:
    """Reads one part from the front of ``rest`` and returns what follows."""
    word, *after = rest.split(maxsplit=1)
    key, equals, value = word.partition("=")
    if not equals or (key != "tool" and key not in MOST):
        known = ", ".join([*MOST, "tool"])
        raise DirectiveError(f'"{_short(word)}" is not one of its parts, which are {known}')
    if key in parts:
        raise DirectiveError(f'"{key}" stands there twice')
    tail = after[0] if after else ""
    if key != "tool":
        parts[key] = _number(key, value)
        return tail
    if not _TOOL_NAME.fullmatch(value):
        raise DirectiveError(
            f'"{_short(value)}" cannot be a tool\'s name: up to 64 letters, digits and _ . -'
        )
    if len(wishes) == MOST_TOOLS:
        raise DirectiveError(f"there are more than {MOST_TOOLS} tools in it")
    arguments: dict[str, Any] = {}
    if tail.startswith("{"):
        arguments, tail = _arguments(tail)
    wishes.append(Wish(value, arguments))
    return tail


def _number(key: str, value: str) -> int:
    most = MOST[key]
    plain = value.isascii() and value.isdigit() and len(value) <= len(str(most))
    if not plain or int(value) > most:
        raise DirectiveError(
            f'"{key}" must be a whole number from 0 to {most}, not "{_short(value)}"'
        )
    return int(value)


def _arguments(tail: str) -> tuple[dict[str, Any], str]:
    """The JSON object at the front of ``tail``, and what follows it."""
    try:
        end = _scan(tail)[1]
        # The standard decoder finds the end but also takes NaN, which is no JSON.
        arguments = orjson.loads(tail[:end])
    except (ValueError, RecursionError):
        raise DirectiveError("what follows the tool's name is not a JSON object") from None
    if tail[end : end + 1].strip():
        raise DirectiveError("a blank must follow the JSON object")
    return arguments, tail[end:]


_scan: Callable[[str], tuple[Any, int]] = json.JSONDecoder().raw_decode


def _tokens(parts: dict[str, int], *, tools: bool) -> int:
    """How many tokens there are when the directive does not say."""
    needed = max(parts.get("fail_after", 0), parts.get("hang_after", 0))
    return needed if tools or {"fail_after", "hang_after"} & parts.keys() else _PLAIN_TOKENS


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:40]}…"

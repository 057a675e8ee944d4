"""JSON as both doors read it: accepted whole, or refused by name and in the same words.

Two readers of one text must not take it for two things. So a name is given once, a number is a
number that can be kept, and text is text that can be written again.
"""

import json
from typing import Any, NoReturn

import orjson

from talksy.errors import ValidationError

MAX_DEPTH = 100
"""Lists and objects within each other; Python's own bound differs from version to version."""
SHOWN = 64
"""As many characters of a name are shown."""


SIMPLE_DEPTH = 8
LARGEST = 2**53


def simple(text: str) -> Any:
    """The value of a JSON text of which nothing can be said against; None where one must look.

    As ``parse`` and ``check`` would have it, in a fifth of the time: names, texts, whole numbers
    and little nesting. It has as many colons as names, so none of these is given twice.
    """
    try:
        value = orjson.loads(text)
    except ValueError:
        return None
    return value if _names(value, 1) == text.count(":") else None


def _names(value: Any, depth: int) -> int:
    """How many names there are in a simple value; less than none where it is not simple."""
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return 0
    if kind is int:
        return 0 if -LARGEST <= value <= LARGEST else NOT_SIMPLE
    if depth > SIMPLE_DEPTH or kind is float:
        return NOT_SIMPLE
    if kind is dict:
        return len(value) + sum(_names(item, depth + 1) for item in value.values())
    return sum(_names(item, depth + 1) for item in value)


NOT_SIMPLE = -(10**9)


def parse(text: str) -> Any:
    """The value of a JSON text. Raises ``ValidationError``."""
    try:
        return _DECODER.decode(text)
    except RecursionError:
        raise _deep() from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        what = error.msg.removesuffix(" at")
        raise ValidationError(f"This is not JSON: {what} at {where}.") from None
    except ValueError:
        raise ValidationError("This has a number with too many digits.") from None


def check(value: Any, path: str = "", depth: int = 1) -> None:
    """Raises ``ValidationError`` for what JSON has no bound for, and we do.

    ``path`` is where the value stands, such as ``resume.0.after``.
    """
    if isinstance(value, str):
        _check_text(value, path)
    elif isinstance(value, float):
        if value in _ENDLESS:
            raise _fault(path, "is a number too large")
    elif isinstance(value, dict | list):
        if depth > MAX_DEPTH:
            raise _deep()
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for name, item in items:
            if isinstance(name, str):
                _check_text(name, path)
            check(item, f"{path}.{name}" if path else str(name), depth + 1)


def check_json(value: Any, path: str = "") -> None:
    """Raises ``ValidationError`` for what no JSON can hold: an attachment."""
    if isinstance(value, bytes):
        raise _fault(path, "is an attachment: these are for audio alone")
    if isinstance(value, dict | list):
        for name, item in value.items() if isinstance(value, dict) else enumerate(value):
            check_json(item, f"{path}.{name}" if path else str(name))


_ENDLESS = {float("inf"), float("-inf")}


def _check_text(text: str, path: str) -> None:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise _fault(path, "has half a character (a lone surrogate)") from None


def _fault(path: str, message: str) -> ValidationError:
    path = ".".join(part[:SHOWN] for part in path.split(".")) if path else ""
    return ValidationError(f"{path or 'This'} {message}", faults=[(path, message)])


def _deep() -> ValidationError:
    return ValidationError("This is nested too deeply.")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        names = set[str]()
        for name, _ in pairs:
            if name in names:
                raise _fault(_printable(name), "is given twice")
            names.add(name)
    return value


def _printable(name: str) -> str:
    return name.encode("utf-8", "replace").decode()


def _no_number(name: str) -> NoReturn:
    raise ValidationError(f"This is not JSON: it has no {name}.")


_DECODER = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_no_number)

"""The JSON of the wire, with the names that python-socketio expects of a JSON module."""

from typing import Any

import orjson

from talksy.errors import ValidationError
from talksy.transports.reading import check, parse, simple


class Unreadable(ValueError):
    """A JSON text that is refused: what the libraries catch, with what the client is told."""

    def __init__(self, told: ValidationError) -> None:
        super().__init__(told.message)
        self.told = told


def dumps(value: Any, **_: Any) -> str:
    """Compact JSON as text."""
    return orjson.dumps(value).decode()


def loads(text: str, **_: Any) -> Any:
    """The value of a JSON text. Raises ``Unreadable``."""
    value = simple(text)
    if value is not None:
        return value
    try:
        value = parse(text)
        # An event is a list of its name and its payload: faults are named from the payload on.
        for part in value if isinstance(value, list) else [value]:
            check(part)
    except ValidationError as error:
        raise Unreadable(error) from None
    return value

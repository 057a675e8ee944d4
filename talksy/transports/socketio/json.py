"""The JSON of the wire, with the names that python-socketio expects of a JSON module."""

from typing import Any

import orjson


def dumps(value: Any, **_: Any) -> str:
    """Compact JSON as text."""
    return orjson.dumps(value).decode()


def loads(text: str | bytes, **_: Any) -> Any:
    """The value of a JSON text. Raises ``ValueError``."""
    return orjson.loads(text)

"""What a tool returned, as JSON has it and no longer than is allowed."""

import json
from typing import Any

import orjson
from pydantic_core import to_jsonable_python

from talksy.errors import ToolFailed


def as_json(value: Any, most: int) -> Any:
    """``value`` in the types of JSON, at most ``most`` bytes of it.

    Dataclasses, models of pydantic, times, sets and the like become what JSON has for them. Of what
    is longer its text is kept, with a last line that says so. Raises ``ToolFailed`` for what JSON
    cannot carry.
    """
    try:
        plain = to_jsonable_python(value, inf_nan_mode="constants")
        text = orjson.dumps(plain)
        if b"null" in text:  # what it makes of NaN, without a word
            json.dumps(plain, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ToolFailed(f"The tool returned what JSON cannot carry: {_reason(error)}") from error
    if len(text) <= most:
        return plain
    return _cut(plain if isinstance(plain, str) else text.decode(), len(text), most)


def _cut(text: str, size: int, most: int) -> str:
    """The beginning of ``text``, which takes ``size`` bytes, in ``most`` bytes with its note."""
    note = f"\n… (cut: this is the beginning of {size} bytes)"
    kept = text[:most]
    # A character may take up to six bytes as JSON writes it.
    while kept and (taken := len(orjson.dumps(kept + note))) > most:
        kept = kept[: min(len(kept) - 1, len(kept) * most // taken)]
    return kept + note


def _reason(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]

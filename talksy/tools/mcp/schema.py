"""The JSON Schemas of strangers: read within bounds, and used without being held up by them.

A server that is not meant well could hang the node by its schema alone: by references that double
each other, by expressions that take years, or by sending the reader to other hosts. So references
are put in place here, a bounded number of times; expressions are those that take linear time; and
nothing is fetched.
"""

from collections.abc import Mapping
from typing import Any

import jsonschema_rs
import orjson

from talksy.tools.faults import MAX_FAULTS, path_of

MAX_BYTES = 65_536
MAX_PARTS = 2_000
"""Of a schema whose references are in place."""
MAX_DEPTH = 64
MAX_WORK = 50_000_000
"""Parts of the schema times bytes of what is checked: about a second's work at the worst."""
MAX_CHARS = 300

_LINEAR = jsonschema_rs.RegexOptions(size_limit=1_000_000)

_ONE = frozenset(
    {"additionalItems", "additionalProperties", "contains", "else", "if", "items", "not"}
    | {"propertyNames", "then", "unevaluatedItems", "unevaluatedProperties"}
)
_MANY = frozenset({"allOf", "anyOf", "items", "oneOf", "prefixItems"})
_NAMED = frozenset({"dependencies", "dependentSchemas", "patternProperties", "properties"})
_DROPPED = frozenset({"$anchor", "$defs", "$dynamicAnchor", "$id", "definitions"})
_MOVING = frozenset({"$dynamicRef", "$recursiveRef"})


class SchemaFault(ValueError):
    """What is wrong with a tool, to be said of it."""


class Checks:
    """A schema, ready to check values by. What refers to itself is checked to its first turn."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        """Raises ``SchemaFault``."""
        try:
            size = len(orjson.dumps(schema))
        except TypeError:
            raise SchemaFault("its schema is not what JSON can carry") from None
        if size > MAX_BYTES:
            raise SchemaFault(f"its schema takes {size} bytes: {MAX_BYTES} are allowed")
        reader = _Reader(schema)
        plain = reader.read(schema)
        self._parts = reader.parts
        try:
            self._validator = jsonschema_rs.validator_for(
                plain, mask="this", offline=True, pattern_options=_LINEAR
            )
        except ValueError as error:
            raise SchemaFault(f"its schema is none: {_line(error)}") from None

    def faults(self, value: Any) -> list[tuple[str, str]]:
        """What is wrong with ``value``, as (path, message) without the values themselves."""
        try:
            size = len(orjson.dumps(value))
        except TypeError:
            return [("", "is not what JSON can carry")]
        if size * self._parts > MAX_WORK:
            return [("", f"is too long to be checked: it takes {size} bytes")]
        faults = []
        for fault in self._validator.iter_errors(value):
            said = fault.message.removeprefix("this ")[:MAX_CHARS]
            faults.append((path_of(fault.instance_path), said))
            if len(faults) == MAX_FAULTS:
                break
        return faults


class _Reader:
    """Puts what is referred to in the place of the references."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self.parts = 0

    def read(self, schema: Any, within: tuple[str, ...] = (), depth: int = 0) -> Any:
        """A schema without references; ``within`` are those that led to it."""
        self.parts += 1
        if self.parts > MAX_PARTS:
            raise SchemaFault(f"its schema has more than {MAX_PARTS} parts")
        if depth > MAX_DEPTH:
            raise SchemaFault(f"its schema is more than {MAX_DEPTH} deep")
        if not isinstance(schema, dict):
            return schema
        if moving := _MOVING & schema.keys():
            raise SchemaFault(f"its schema has a {min(moving)}")
        plain = {
            key: self._keyword(key, value, within, depth + 1)
            for key, value in schema.items()
            if key not in _DROPPED and key != "$ref" and not _unread(key, value)
        }
        if "$ref" not in schema:
            return plain
        target = schema["$ref"]
        if not isinstance(target, str) or not target.startswith("#"):
            raise SchemaFault("its schema has a $ref that leads out of it")
        if target in within:
            return plain
        there = self.read(self._find(target), (*within, target), depth + 1)
        return {"allOf": [there, plain]} if plain else there

    def _keyword(self, key: str, value: Any, within: tuple[str, ...], depth: int) -> Any:
        if key in _NAMED and isinstance(value, dict):
            return {
                _expression(name) if key == "patternProperties" else name: (
                    each if isinstance(each, list) else self.read(each, within, depth)
                )
                for name, each in value.items()
            }
        if key in _MANY and isinstance(value, list):
            return [self.read(each, within, depth) for each in value]
        if key in _ONE:
            return self.read(value, within, depth)
        return value

    def _find(self, target: str) -> Any:
        place: Any = self._root
        for part in target.removeprefix("#").split("/")[1:]:
            part = part.replace("~1", "/").replace("~0", "~")
            if isinstance(place, list) and part.isdecimal() and int(part) < len(place):
                place = place[int(part)]
            elif isinstance(place, dict) and part in place:
                place = place[part]
            else:
                raise SchemaFault("its schema has a $ref that leads nowhere in it")
        if target != "#" and not target.startswith("#/"):
            raise SchemaFault("its schema has a $ref that is no path in it")
        return place


def _unread(key: str, value: Any) -> bool:
    """Whether it is an expression with a look around: it takes more than linear time, so that what
    it says is left to the server.
    """
    return key == "pattern" and isinstance(value, str) and not _linear(value)


def _expression(text: str) -> str:
    if not _linear(text):
        raise SchemaFault("its patternProperties look around")
    return text


def _linear(text: str) -> bool:
    try:
        jsonschema_rs.validator_for({"pattern": text}, pattern_options=_LINEAR, offline=True)
    except ValueError:
        return False
    return True


def _line(error: Exception) -> str:
    return str(error).partition("\n")[0][:MAX_CHARS]

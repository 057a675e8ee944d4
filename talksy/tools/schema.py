"""The JSON Schemas of strangers: read within bounds, and used without being held up by them.

Whoever does not mean well could hang the node by a schema alone: by references that double each
other, by expressions that take years, or by sending the reader to other hosts. So references are
put in place here, a bounded number of times; expressions are those that take linear time; and
nothing is fetched.
"""

from collections.abc import Mapping
from itertools import islice
from typing import Any

import jsonschema_rs
import orjson

from talksy.tools.faults import MAX_FAULTS, path_of

MAX_BYTES = 65_536
MAX_PARTS = 2_000
"""Of a schema whose references are in place."""
MAX_DEPTH = 64
MAX_EXPRESSIONS = 32
"""Of a schema; each may take milliseconds to prepare."""
MAX_WORK = 5_000_000
"""Parts of the schema times bytes of what is checked: 20 ms usually, 200 at the worst."""
FAULTS_WORK = 20_000
"""Up to here all faults are told. Each costs about a hundred times as much as knowing of one."""
MAX_CHARS = 300

_LINEAR = jsonschema_rs.RegexOptions(size_limit=200_000)

_ONE = frozenset(
    {"additionalItems", "additionalProperties", "contains", "else", "if", "items", "not"}
    | {"propertyNames", "then"}
)
_MANY = frozenset({"allOf", "anyOf", "items", "oneOf", "prefixItems"})
_NAMED = frozenset({"dependencies", "dependentSchemas", "patternProperties", "properties"})
_DROPPED = frozenset({"$anchor", "$defs", "$dynamicAnchor", "$id", "definitions"})
_SLOW = frozenset({"unevaluatedItems", "unevaluatedProperties"})
"""Within each other they take exponential time: what they say is left to the server."""
_UNREAD = _DROPPED | _SLOW | {"$ref"}
_MOVING = frozenset({"$dynamicRef", "$recursiveRef"})


class SchemaFault(ValueError):
    """What is wrong with a tool, to be said of it."""


class Fit:
    """Whether long arguments fit a schema of ours, found out without telling of each fault."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        shared = {key: schema[key] for key in ("$defs",) if key in schema}
        self._whole = _ours({**schema})
        self._parts = {
            name: _ours({**shared, **part}) for name, part in schema.get("properties", {}).items()
        }

    def faults(self, arguments: Mapping[str, Any]) -> list[tuple[str, str]]:
        """The arguments that are wrong, as (name, message)."""
        if self._whole.is_valid(arguments):
            return []
        wrong = [
            (name, "does not fit the tool's schema")
            for name, part in self._parts.items()
            if name in arguments and not part.is_valid(arguments[name])
        ]
        return wrong or [("", "they do not fit the tool's schema")]


def _ours(schema: dict[str, Any]) -> Any:
    return jsonschema_rs.validator_for(schema, mask="this", offline=True)


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
        work = size * self._parts
        if work > MAX_WORK:
            return [("", f"is too long to be checked: it takes {size} bytes")]
        if self._validator.is_valid(value):
            return []
        if work <= FAULTS_WORK:
            faults = self._validator.iter_errors(value)
            return [_told(fault) for fault in islice(faults, MAX_FAULTS)]
        try:
            self._validator.validate(value)
        except jsonschema_rs.ValidationError as fault:
            return [_told(fault)]
        return []


class _Reader:
    """Puts what is referred to in the place of the references."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self.parts = 0
        self._expressions = 0

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
            if key not in _UNREAD and (key != "pattern" or self._linear(value))
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
            if key == "patternProperties" and not all(map(self._linear, value)):
                raise SchemaFault("its patternProperties look around")
            return {
                name: each if isinstance(each, list) else self.read(each, within, depth)
                for name, each in value.items()
            }
        if key in _MANY and isinstance(value, list):
            return [self.read(each, within, depth) for each in value]
        if key in _ONE:
            return self.read(value, within, depth)
        return value

    def _linear(self, expression: Any) -> bool:
        """Whether it takes linear time. What another one says is left to the server."""
        self._expressions += 1
        if self._expressions > MAX_EXPRESSIONS:
            raise SchemaFault(f"its schema has more than {MAX_EXPRESSIONS} expressions")
        if not isinstance(expression, str):
            return True  # What is wrong with it is found with all the rest.
        try:
            jsonschema_rs.validator_for(
                {"pattern": expression}, pattern_options=_LINEAR, offline=True
            )
        except ValueError:
            return False
        return True

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


def _told(fault: jsonschema_rs.ValidationError) -> tuple[str, str]:
    return path_of(fault.instance_path), fault.message.removeprefix("this ")[:MAX_CHARS]


def _line(error: Exception) -> str:
    return str(error).partition("\n")[0][:MAX_CHARS]

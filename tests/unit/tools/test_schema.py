"""Schemas of strangers are read within bounds."""

import time
from typing import Any

import pytest

from talksy.tools.schema import Checks, SchemaFault


def fault(schema: dict[str, Any]) -> str:
    with pytest.raises(SchemaFault) as caught:
        Checks(schema)
    return str(caught.value)


def test_what_is_wrong_is_said_with_its_path_and_without_its_value() -> None:
    price = {"type": "number", "minimum": 0}
    schema = {"type": "object", "properties": {"items": {"type": "array", "items": price}}}
    assert Checks(schema).faults({"items": [1, -5.5]}) == [
        ("items.1", "is less than the minimum of 0")
    ]


def test_references_are_followed_within_the_schema() -> None:
    checks = Checks({"$defs": {"a/b": {"type": "integer"}}, "items": {"$ref": "#/$defs/a~1b"}})
    assert checks.faults([1, 2]) == []
    assert checks.faults([1, "two"]) == [("1", 'is not of type "integer"')]


def test_what_stands_beside_a_reference_counts() -> None:
    checks = Checks({"$defs": {"a": {"type": "integer"}}, "$ref": "#/$defs/a", "minimum": 3})
    assert [bool(checks.faults(value)) for value in (3, 2, "3")] == [False, True, True]


def test_what_refers_to_itself_is_checked_to_its_first_turn() -> None:
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}
    checks = Checks({"$defs": {"node": node}, "$ref": "#/$defs/node"})
    assert checks.faults({"next": {"next": {}}}) == []
    assert checks.faults([]) == [("", 'is not of type "object"')]


def test_a_property_may_be_called_as_a_keyword_is() -> None:
    checks = Checks({"properties": {"$ref": {"type": "string"}, "$id": {"type": "string"}}})
    assert {path for path, _ in checks.faults({"$ref": 1, "$id": 2})} == {"$id", "$ref"}


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"$ref": "https://example.com/a.json"}, "a $ref that leads out of it"),
        ({"not": {"$ref": "a.json"}}, "a $ref that leads out of it"),
        ({"$ref": "#/nowhere"}, "a $ref that leads nowhere in it"),
        ({"$ref": "#somewhere"}, "a $ref that is no path in it"),
        ({"$dynamicRef": "#a"}, "a $dynamicRef"),
        ({"type": "nothing"}, "its schema is none"),
        ({"$schema": "https://example.com/mine"}, "its schema is none"),
        ({"description": 70_000 * "x"}, "65536 are allowed"),
        ({"patternProperties": {"(?=a)a": {}}}, "look around"),
        ({"pattern": 5}, "its schema is none"),
        ({"patternProperties": []}, "its schema is none"),
        ({"anyOf": [{"pattern": f"^{i}$"} for i in range(33)]}, "more than 32 expressions"),
    ],
)
def test_what_is_no_use_is_refused_with_the_reason(schema: dict[str, Any], said: str) -> None:
    assert said in fault(schema)


def test_references_that_double_each_other_are_refused() -> None:
    doubling: dict[str, Any] = {
        f"a{i}": {"allOf": 2 * [{"$ref": f"#/$defs/a{i + 1}"}]} for i in range(20)
    }
    doubling["a20"] = {}
    assert "more than 2000 parts" in fault({"$defs": doubling, "$ref": "#/$defs/a0"})


def test_an_expression_takes_linear_time() -> None:
    checks = Checks({"pattern": "^(a+)+$"})
    began = time.perf_counter()
    assert checks.faults(100_000 * "a" + "b") != []
    assert time.perf_counter() - began < 1


def test_an_expression_that_looks_around_is_left_to_the_server() -> None:
    checks = Checks({"type": "string", "pattern": "^(?!root).*$"})
    assert checks.faults("root") == []
    assert checks.faults(5) == [("", 'is not of type "string"')]


def test_what_would_take_too_long_is_not_checked() -> None:
    checks = Checks({"properties": {f"p{i}": {"type": "string"} for i in range(500)}})
    ((path, message),) = checks.faults({"p1": 1_000_000 * "x"})
    assert (path, message.startswith("is too long to be checked")) == ("", True)


def test_of_what_is_long_the_first_fault_is_told() -> None:
    options = [{"const": f"c{i}"} for i in range(900)]
    checks = Checks({"items": {"anyOf": options}})
    began = time.perf_counter()
    ((path, _),) = checks.faults(1_000 * ["b"])
    assert path == "0"
    assert time.perf_counter() - began < 1

"""A function's signature and docstring are what a model is told and what is enforced."""

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal

import jsonschema_rs
import pytest
from pydantic import BaseModel, Field

from talksy.errors import ValidationError
from talksy.tools import BadTool, Caller, FunctionTool, tool
from tests.unit.tools.tools import ADA


class Size(Enum):
    SMALL = "small"
    LARGE = "large"


class Address(BaseModel):
    street: str
    zip: Annotated[str, Field(pattern=r"^\d{5}$")]


@tool
async def send(
    to: Address,
    schema: Annotated[int, Field(ge=1, le=9)],
    caller: Caller,
    from_: str | None = None,
    size: Size = Size.SMALL,
    way: Literal["air", "sea"] = "sea",
    on: date | None = None,
    tags: Annotated[list[str], Field(max_length=2)] = [],  # noqa: B006 - as tools are written
    price: Decimal = Decimal("1.5"),
) -> list[Any]:
    """Sends a parcel
    to somebody.

    It takes a while.

    Args:
        to: where it goes,
            with the street
        from (str): who sends it
        way: by which way
    """
    return [to, schema, caller, from_, size, way, on, tags, price]


GOOD: dict[str, Any] = {"to": {"street": "Elm", "zip": "12345"}, "schema": 3}


def test_the_first_paragraph_is_the_description() -> None:
    assert (send.definition.name, send.definition.description) == (
        "send",
        "Sends a parcel to somebody.",
    )
    assert send.definition.source == __name__


def test_the_schema_has_names_ranges_patterns_choices_and_defaults() -> None:
    schema = send.definition.parameters
    parts = schema["properties"]
    assert list(parts) == ["to", "schema", "from", "size", "way", "on", "tags", "price"]
    assert schema["required"] == ["to", "schema"]
    assert schema["additionalProperties"] is False
    assert parts["to"]["description"] == "where it goes, with the street"
    assert parts["from"]["description"] == "who sends it"
    assert parts["schema"] == {"type": "integer", "minimum": 1, "maximum": 9}
    assert parts["way"]["enum"] == ["air", "sea"]
    assert parts["size"]["default"] == "small"
    assert schema["$defs"]["Address"]["properties"]["zip"]["pattern"] == r"^\d{5}$"
    assert schema["$defs"]["Address"]["additionalProperties"] is False
    assert "title" not in str(schema)


def test_the_schema_is_one_for_json() -> None:
    jsonschema_rs.meta.validate(dict(send.definition.parameters))
    jsonschema_rs.validate(dict(send.definition.parameters), send.check(GOOD))


def test_what_is_checked_has_its_defaults() -> None:
    assert send.check({"on": "2026-01-02", **GOOD}) == {
        **GOOD,
        "from": None,
        "size": "small",
        "way": "sea",
        "on": "2026-01-02",
        "tags": [],
        "price": "1.5",
    }


async def test_the_function_is_given_its_own_types_and_the_caller() -> None:
    checked = send.check({**GOOD, "from": "Ada", "size": "large", "on": "2026-01-02"})
    assert await send.run(checked, ADA) == [
        Address(street="Elm", zip="12345"),
        3,
        ADA,
        "Ada",
        Size.LARGE,
        "sea",
        date(2026, 1, 2),
        [],
        Decimal("1.5"),
    ]


@pytest.mark.parametrize(
    ("change", "paths"),
    [
        ({"to": None}, ["to"]),
        ({"to": {"street": 1, "zip": "1", "more": 2}}, ["to.street", "to.zip", "to.more"]),
        ({"schema": "3"}, ["schema"]),
        ({"schema": 3.5}, ["schema"]),
        ({"schema": True}, ["schema"]),
        ({"schema": 10, "way": "land"}, ["schema", "way"]),
        ({"size": "SMALL"}, ["size"]),
        ({"on": "tomorrow"}, ["on"]),
        ({"tags": ["a", 1]}, ["tags.1"]),
        ({"tags": ["a", "b", "c"]}, ["tags"]),
        ({"caller": {}}, ["caller"]),
        ({"from_": "Ada"}, ["from_"]),
    ],
)
def test_whatever_does_not_fit_is_refused_with_each_path(
    change: dict[str, Any], paths: list[str]
) -> None:
    with pytest.raises(ValidationError) as refused:
        send.check({**GOOD, **change})
    assert [path for path, _ in refused.value.faults] == paths
    validator = jsonschema_rs.validator_for(dict(send.definition.parameters), validate_formats=True)
    assert not validator.is_valid({**GOOD, **change})


def test_what_is_missing_is_named() -> None:
    with pytest.raises(ValidationError, match="to: Field required; schema: Field required"):
        send.check({})


def test_a_tool_can_still_be_called_as_a_function() -> None:
    @tool(sandbox=True, category="utility", version="2.0.0", timeout_ms=300, deprecated="use add")
    def double(number: int) -> int:
        """Doubles a number."""
        return 2 * number

    assert double(4) == 8
    definition = double.definition
    assert (definition.sandboxed, definition.category, definition.version) == (
        True,
        "utility",
        "2.0.0",
    )
    assert (definition.timeout_ms, definition.deprecated) == (300, "use add")


def paying(**options: Any) -> FunctionTool[..., Any]:
    @tool(**options)
    async def pay(amount: int = 1) -> None:
        """Pays."""

    return pay


def test_who_asks_is_the_policy_or_its_predicate() -> None:
    def dear(arguments: Any) -> bool:
        return bool(arguments["amount"] > 10)

    assert not paying().asks({"amount": 1})
    assert paying(policy="ask").asks({"amount": 1})
    some = paying(asks=dear)
    assert some.definition.policy == "ask"
    assert [some.asks(some.check({"amount": n})) for n in (1, 11)] == [False, True]


def test_a_predicate_that_fails_asks() -> None:
    def broken(_arguments: Any) -> bool:
        raise KeyError

    assert paying(asks=broken).asks({"amount": 1})


async def untyped(x) -> None:  # type: ignore[no-untyped-def]
    """Has no types."""


async def many(*numbers: int) -> None:
    """Takes any."""


async def silent(x: int) -> None:
    pass


def plain(x: int) -> None:
    """Waits for nothing."""


async def lost(x: "Nowhere") -> None:  # type: ignore[name-defined]  # noqa: F821
    """Has a type that is not there."""


async def strange(x: FunctionTool[..., Any]) -> None:
    """Has a type that JSON has not."""


async def fine() -> None:
    """Is as it should be."""


def private(caller: Caller) -> None:
    """Wants to know who calls."""


@pytest.mark.parametrize(
    ("function", "options", "advice"),
    [
        (untyped, {}, "untyped: the parameter x needs a type"),
        (many, {}, "name each parameter"),
        (silent, {}, "docstring"),
        (plain, {}, "async def, or say sandbox=True"),
        (lost, {}, "Nowhere"),
        (strange, {}, "none for JSON"),
        (fine, {"name": "größe"}, "64 letters, digits, _ and -"),
        (fine, {"name": 65 * "a"}, "64 letters"),
        (fine, {"category": "fun"}, "utility, data, communication, system, custom"),
        (fine, {"policy": "maybe"}, "auto, ask, deny"),
        (fine, {"scope": "all of it"}, "scope may have"),
        (fine, {"timeout_ms": 0}, "timeout_ms is from 1"),
        (fine, {"sandbox": True}, "plain def"),
        (private, {"sandbox": True}, "leave out the Caller"),
    ],
)
def test_what_cannot_be_a_tool_is_told_what_to_change(
    function: Callable[..., Any], options: dict[str, Any], advice: str
) -> None:
    with pytest.raises(BadTool, match=advice):
        tool(**options)(function)


def test_what_is_wrong_with_long_arguments_is_told_without_telling_all_of_it() -> None:
    @tool
    async def add(numbers: list[int], name: str = "x") -> int:
        """Adds numbers."""
        return sum(numbers) + len(name)

    with pytest.raises(ValidationError) as wrong:
        add.check({"numbers": ["a"] * 100_000})
    assert wrong.value.faults == (("numbers", "does not fit the tool's schema"),)
    with pytest.raises(ValidationError) as unknown:
        add.check({"numbers": [1], **dict.fromkeys(map(str, range(50_000)), 1)})
    assert len(unknown.value.faults) == 20
    assert add.check({"numbers": [1] * 100_000})["name"] == "x"

"""JSON that is read: whole, or not at all."""

from typing import Any

import pytest

from talksy.errors import ValidationError
from talksy.transports.reading import MAX_DEPTH, check, parse


def lists(depth: int) -> str:
    """So many lists within each other."""
    return "[" * depth + "]" * depth


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 10_000, 1_000_000])
def test_what_is_nested_too_deeply_is_refused_on_every_python(depth: int) -> None:
    check(parse(lists(MAX_DEPTH)))
    with pytest.raises(ValidationError, match="nested too deeply"):
        check(parse(lists(depth)))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("9007199254740993", 2**53 + 1),
        ("-0", 0),
        ("1e308", 1e308),
        ("1e-400", 0.0),
        (r'"\ud83d\ude00"', "😀"),
        (r'"\u0000"', "\0"),
        (' {"a" : [null, true] }\n', {"a": [None, True]}),
        ('{"": {"": 1}}', {"": {"": 1}}),
    ],
)
def test_what_can_be_kept_is_read_whole(text: str, value: Any) -> None:
    found = parse(text)
    check(found)
    assert found == value


def test_a_long_name_is_shown_in_part() -> None:
    with pytest.raises(ValidationError) as caught:
        check({"x" * 10_000: "\ud800"})
    assert caught.value.faults == (("x" * 64, "has half a character (a lone surrogate)"),)


def test_a_name_that_cannot_be_written_is_told_all_the_same() -> None:
    with pytest.raises(ValidationError, match="is given twice") as caught:
        parse(r'{"\ud800": 1, "\ud800": 2}')
    assert caught.value.message.isascii()

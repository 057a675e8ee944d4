"""The mock model's directive."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talksy.ai.llm.directive import (
    FORM,
    MOST,
    MOST_TOOLS,
    Directive,
    DirectiveError,
    Wish,
    parse,
)

OF_TOOLS = ("before", "rounds", "broken")


def test_the_form_that_is_shown_to_people_can_be_followed() -> None:
    assert parse(FORM) == Directive(
        tokens=500,
        delay_ms=10,
        chars=5,
        fail_after=200,
        hang_after=300,
        wishes=(Wish("get_order_status", {"orderId": "ORD-1001"}),),
    )


def test_parts_stand_in_any_order() -> None:
    assert parse('/mock tool=find {"a": {"b": 1}} chars=3  tokens=2') == Directive(
        tokens=2, chars=3, wishes=(Wish("find", {"a": {"b": 1}}),)
    )


def test_several_tools_may_be_asked_for_several_times() -> None:
    assert parse('/mock tool=find {"a": 1} rounds=3 tool=list tool=find broken=1') == Directive(
        tokens=0, wishes=(Wish("find", {"a": 1}), Wish("list"), Wish("find")), rounds=3, broken=1
    )


def test_there_may_be_so_many_tools_and_no_more() -> None:
    assert parse("/mock" + " tool=find" * MOST_TOOLS) is not None
    with pytest.raises(DirectiveError, match=f"more than {MOST_TOOLS} tools"):
        parse("/mock" + " tool=find" * (MOST_TOOLS + 1))


@pytest.mark.parametrize("text", ["", "hello", "say /mock tokens=1", "/mocking", "/Mock"])
def test_other_texts_are_no_directive(text: str) -> None:
    assert parse(text) is None


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("/mock", 20),
        ("  /mock\n", 20),
        ("/mock delay_ms=0", 20),
        ("/mock tool=find", 0),
        ("/mock fail_after=3", 3),
        ("/mock fail_after=3 hang_after=5", 5),
        ("/mock fail_after=0", 0),
        ("/mock tokens=0", 0),
    ],
)
def test_tokens_that_are_left_out_are_what_the_rest_needs(text: str, tokens: int) -> None:
    directive = parse(text)
    assert directive is not None
    assert directive.tokens == tokens


@given(
    tokens=st.integers(0, 1_200),
    chars=st.integers(0, 9),
)
def test_a_token_is_its_number_and_blanks_up_to_its_length(tokens: int, chars: int) -> None:
    texts = list(Directive(tokens=tokens, chars=chars).texts())
    assert "".join(texts).split() == [str(number) for number in range(tokens)]
    assert [len(text) for text in texts] == [max(chars, len(str(n)) + 1) for n in range(tokens)]


@pytest.mark.parametrize("key", MOST)
def test_a_number_may_be_the_most_and_no_more(key: str) -> None:
    tool = "tool=find " if key in OF_TOOLS else ""
    assert parse(f"/mock {tool}{key}={MOST[key]}") is not None
    with pytest.raises(DirectiveError, match=f"{key}.*{MOST[key]}"):
        parse(f"/mock {tool}{key}={MOST[key] + 1}")


@pytest.mark.parametrize("key", OF_TOOLS)
def test_what_is_of_use_beside_a_tool_alone_is_refused_without_one(key: str) -> None:
    with pytest.raises(DirectiveError, match=f'"{key}" says nothing without a tool'):
        parse(f"/mock {key}=1")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("/mock tokens=abc", '"abc"'),
        ("/mock tokens=-1", '"-1"'),
        ("/mock tokens=1.5", '"1.5"'),
        ("/mock tokens=", '""'),
        ("/mock tokens=٣", "whole number"),
        ("/mock tokens=" + "9" * 5000, "whole number"),
        ("/mock tokens", '"tokens"'),
        ("/mock speed=3", '"speed=3"'),
        ("/mock tokens=1 tokens=2", "twice"),
        ("/mock hello", '"hello"'),
        ('/mock {"a": 1}', "parts"),
        ("/mock tool=", "name"),
        ("/mock tool=a/b", '"a/b"'),
        ('/mock tool=a {"b"', "JSON"),
        ('/mock tool=a {"b": NaN}', "JSON"),
        ('/mock tool=a {"b": ' + "[" * 30_000, "JSON"),
        ('/mock tool=a {"b": 1}x', "blank"),
        ("/mock tool=a rounds=1 rounds=1", "twice"),
    ],
)
def test_a_fault_is_named_together_with_the_right_form(text: str, named: str) -> None:
    with pytest.raises(DirectiveError) as raised:
        parse(text)
    assert named in str(raised.value)
    assert FORM in str(raised.value)
    assert len(str(raised.value)) < 400


@given(st.text())
def test_no_text_breaks_the_reader(text: str) -> None:
    with suppress(DirectiveError):
        assert parse(f"/mock {text}") is not None

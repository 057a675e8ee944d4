"""What the mock model hears as a wish for a tool."""

from typing import Any

import pytest

from talksy.ai.llm.directive import Wish
from talksy.ai.llm.wishes import hear

ALL = {"get_account_balance", "get_order_status", "get_current_time", "calculate"}


@pytest.mark.parametrize(
    ("text", "name", "arguments"),
    [
        ("What is my balance? user_id=user-1", "get_account_balance", {"userId": "user-1"}),
        ("user_id=user-1, my\nBALANCE please", "get_account_balance", {"userId": "user-1"}),
        (
            "Check order status for order_id=ORD-1001.",
            "get_order_status",
            {"orderId": "ORD-1001"},
        ),
        ("What time is it?", "get_current_time", {}),
        ("What time is it in Europe/Berlin?", "get_current_time", {"zone": "Europe/Berlin"}),
        ("calculate 2 + 2 * (3 - 1)", "calculate", {"expression": "2 + 2 * (3 - 1)"}),
        ("Calculate 2+2 ?", "calculate", {"expression": "2+2"}),
    ],
)
def test_a_question_is_a_wish_for_the_tool_that_answers_it(
    text: str, name: str, arguments: dict[str, Any]
) -> None:
    assert hear(text, ALL) == Wish(name, arguments)
    assert hear(text, ALL - {name}) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Hello",
        "What is my balance?",
        "user_id=user-1",
        "order_id=1",
        "I calculate 2",
        "calculate ?",
    ],
)
def test_other_texts_are_no_wish(text: str) -> None:
    assert hear(text, ALL) is None


@pytest.mark.parametrize(
    "text", ["balance " * 20_000, "calculate" + " " * 200_000, "order" * 50_000]
)
def test_a_long_text_is_heard_quickly(text: str) -> None:
    """In linear time: a slow pattern would not come to its end within the suite's limit."""
    assert hear(text, ALL) is None

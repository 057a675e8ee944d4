"""What the mock model understands as a wish for a tool."""

import re
from collections.abc import Container

from talksy.ai.llm.directive import Wish

_WISHES: tuple[tuple[str, re.Pattern[str]], ...] = (
    (
        "get_account_balance",
        re.compile(r"(?is)\A(?=.*\bbalance\b).*?\buser_id=(?P<userId>[\w-]+)"),
    ),
    (
        "get_order_status",
        re.compile(r"(?is)\A(?=.*\border\b).*?\border_id=(?P<orderId>[\w-]+)"),
    ),
    (
        "get_current_time",
        re.compile(r"(?i)\bwhat time is it(?: in (?P<zone>\w+(?:/[\w+-]+)*))?"),
    ),
    (
        "calculate",
        re.compile(r"(?i)\A\s*calculate\s+(?P<expression>[^\s?][^?\n]*)"),
    ),
)
"""Tools, each with the question that it answers; a group is the argument of that name."""


def hear(text: str, offered: Container[str]) -> Wish | None:
    """The tool that ``text`` asks for, if it is among those that are ``offered``."""
    for name, question in _WISHES:
        if name in offered and (found := question.search(text)):
            said = {key: value.strip() for key, value in found.groupdict().items() if value}
            return Wish(name, said)
    return None

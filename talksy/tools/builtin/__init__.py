"""The tools that every node has."""

from collections.abc import Sequence
from typing import Any

from talksy.tools.builtin.calculate import calculate
from talksy.tools.builtin.clock import get_current_time
from talksy.tools.builtin.demo import get_account_balance, get_order_status
from talksy.tools.builtin.units import unit_convert
from talksy.tools.function import FunctionTool

BUILT_IN = f"{__name__}."
"""How the source of such a tool begins."""
BUILTIN: Sequence[FunctionTool[..., Any]] = (
    get_current_time,
    calculate,
    unit_convert,
    get_account_balance,
    get_order_status,
)
"""Those that need nothing but themselves."""

__all__ = ["BUILTIN", "BUILT_IN"]

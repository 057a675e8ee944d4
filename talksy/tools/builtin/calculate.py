"""A calculator: a parser of its own, so that nothing is evaluated but arithmetic."""

from typing import Annotated, Any

from pydantic import Field

from talksy.tools.builtin.arithmetic import Fault, Number, evaluate
from talksy.tools.faults import validation_error
from talksy.tools.function import tool

SAFE_INTEGER = 2**53
SAFE_DIGITS = 15
"""As many digits of a decimal every reader of JSON keeps."""


@tool(category="utility", idempotent=True)
async def calculate(
    expression: Annotated[str, Field(min_length=1, max_length=1000)],
) -> dict[str, Any]:
    """Computes an arithmetic expression. Whole numbers are exact, decimals have 50 digits, sin, cos
    and their like 15.

    Args:
        expression: numbers with + - * / // % ** and parentheses; pi, e, tau; abs, round, floor,
            ceil, sqrt, exp, ln, log10, log2, log(x, base), sin, cos, tan, asin, acos, atan,
            degrees, radians, min, max, sum, mean, gcd, lcm, factorial. Example: sqrt(2) * (3 + 4)
    """
    try:
        result = evaluate(expression)
    except Fault as fault:
        raise validation_error([("expression", fault.told(expression))]) from None
    return {"expression": expression, "result": _plain(result)}


def _plain(number: Number) -> int | float | str:
    """As a number where JSON carries it exactly, else as its digits."""
    if isinstance(number, int):
        return number if abs(number) <= SAFE_INTEGER else str(number)
    if len(number.as_tuple().digits) <= SAFE_DIGITS and -300 < number.adjusted() < 300:
        return float(number)
    return str(number)

"""A calculator that computes arithmetic, all of it and nothing else."""

from contextlib import suppress
from decimal import Decimal
from fractions import Fraction
from time import perf_counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talksy.errors import ValidationError
from talksy.tools.builtin.arithmetic import Fault, evaluate
from talksy.tools.builtin.calculate import calculate
from tests.unit.tools.tools import ADA


async def result(expression: str) -> Any:
    answer = await calculate.run(calculate.check({"expression": expression}), ADA)
    return answer["result"]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("2+2", 4),
        ("2 + 3 * 4", 14),
        ("(2 + 3) * 4", 20),
        ("-2 ** 2", -4),
        ("2 ** 3 ** 2", 512),
        ("2 ** -1", 0.5),
        ("2^10", 1024),
        ("6×7÷2−1", 20),
        ("7 // 2", 3),
        ("-7 % 3", 2),
        ("-7.5 % 2", 0.5),
        ("0.1 + 0.2", 0.3),
        ("1e3 * 2", 2000),
        (".5 + 1.", 1.5),
        ("--3", 3),
        ("sqrt(16)", 4),
        ("sqrt(2)", "1.4142135623730950488016887242096980785696718753769"),
        ("1/3", "0.33333333333333333333333333333333333333333333333333"),
        ("log(8, 2)", 3),
        ("log10(1000)", 3),
        ("ln(e)", 1),
        ("sin(pi)", 0),
        ("cos(pi)", -1),
        ("degrees(pi)", 180),
        ("round(2.675, 2)", 2.68),
        ("round(-2.5)", -3),
        ("round(1234, -2)", 1200),
        ("floor(-1.5) + ceil(-1.5)", -3),
        ("max(1, 2.5, -3) - min(1, 2)", 1.5),
        ("mean(1, 2, 4) * 3", 7),
        ("gcd(12, 18) + lcm(4, 6)", 18),
        ("factorial(20)", "2432902008176640000"),
        ("2**53", 2**53),
        ("2**53 + 1", "9007199254740993"),
        ("abs(-3) * tau / pi", 6),
    ],
)
async def test_it_computes(expression: str, expected: object) -> None:
    assert await result(expression) == expected


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("", "at least 1 character"),
        ("2 +", "a number is missing, at the end (character 4)"),
        ("(1 + 2", 'a parenthesis is not closed, at "(1 + 2" (character 1)'),
        ("1 2", 'an operator is missing, at "2" (character 3)'),
        ("2pi", "an operator is missing"),
        ("1 / 0", 'it divides by zero, at "/ 0" (character 3)'),
        ("0 ** -1", "divides by zero"),
        ("sqrt(-1)", "no root of a negative number"),
        ("(-8) ** 0.5", "no value"),
        ("ln(0)", "wants a positive number"),
        ("asin(2)", "math domain error"),
        ("foo(1)", 'no such function, at "foo(1)" (character 1)'),
        ("foo", "unknown name"),
        ("sin", "its parentheses are missing"),
        ("round(1, 2, 3)", "round takes 1 or more, not 3"),
        ("__import__('os')", "it is not arithmetic"),
        ("1; 2", "it is not arithmetic"),
        ("[].__class__", "it is not arithmetic"),
        ("9 ** 9 ** 9", "too large"),
        ("10 ** 5000", "too large"),
        ("1e9999 * 10", "too large"),
        ("factorial(1000)", "from 0 to 400"),
        ("(" * 500 + "1" + ")" * 499, "nested too deeply"),
        ("-" * 999 + "1", "nested too deeply"),
        ("1" * 1001, "at most 1000 characters"),
    ],
)
async def test_it_says_what_is_wrong_and_where(expression: str, told: str) -> None:
    with pytest.raises(ValidationError) as refused:
        await result(expression)
    assert told in refused.value.faults[0][1]
    assert refused.value.faults[0][0] == "expression"


@pytest.mark.parametrize(
    "expression",
    [
        "2.1**2.1+" * 110 + "1",
        "ln(2.1)+" * 124 + "1",
        "sqrt(" * 50 + "2" + ")" * 50,
        "factorial(400)*" * 66 + "1",
        "9" * 999,
        "1.0000001**1e9999",
    ],
)
def test_it_takes_bounded_time(expression: str) -> None:
    began = perf_counter()
    with suppress(Fault):
        evaluate(expression)
    assert perf_counter() - began < 1


numbers = st.integers(-50, 50)
sums = st.recursive(
    numbers.map(lambda n: (str(n), Fraction(n))),
    lambda inner: st.tuples(inner, st.sampled_from("+-*"), inner).map(
        lambda t: (
            f"({t[0][0]}{t[1]}{t[2][0]})",
            {"+": t[0][1] + t[2][1], "-": t[0][1] - t[2][1], "*": t[0][1] * t[2][1]}[t[1]],
        )
    ),
    max_leaves=20,
)


@given(sums)
def test_whole_numbers_are_exact(case: tuple[str, Fraction]) -> None:
    text, expected = case
    assert evaluate(text) == expected


@given(st.text(max_size=60))
def test_whatever_is_written_it_computes_or_says_what_is_wrong(text: str) -> None:
    try:
        found: object = evaluate(text)
    except Fault as fault:
        found = fault
    assert isinstance(found, int | Decimal | Fault)
    assert not isinstance(found, Fault) or 0 <= found.at <= len(text)

"""Reads and computes arithmetic, in bounded time and space.

By precedence, lowest first: ``+ -``, ``* / // %``, the signs, ``**`` from the right. ``^`` is a
power as well, and ``× ÷ −`` are what they look like.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Context, Decimal, DecimalException, localcontext

Number = int | Decimal

MAX_DEPTH = 60
MAX_DIGITS = 1000
"""Of a whole number."""
PRECISION = 50
"""Digits of a decimal; a few more are computed, so that 7 / 3 * 3 is 7."""
SINE_DIGITS = 15
"""What is left of the precision where a float computes."""
MAX_FACTORIAL = 400

_MAX_BITS = int(MAX_DIGITS * math.log2(10))
_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,4})?)"
    r"|(?P<name>[A-Za-z_]\w*)|(?P<sign>\*\*|//|[-+*/%^(),×÷−]))",
    re.ASCII,
)
_SAME = {"^": "**", "×": "*", "÷": "/", "−": "-"}
_BINARY = {"+": 1, "-": 1, "*": 2, "/": 2, "//": 2, "%": 2, "**": 4}
_SIGNED = 3

_CONTEXT = Context(prec=PRECISION + 5, Emax=9_999, Emin=-9_999)
_RESULT = Context(prec=PRECISION, Emax=9_999, Emin=-9_999)


class Fault(ValueError):
    """What is wrong, and where."""

    def __init__(self, reason: str, at: int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.at = at

    def told(self, expression: str) -> str:
        """The reason, the place and what stands there."""
        there = expression[self.at : self.at + 12].strip()
        place = f'at "{there}"' if there else "at the end"
        return f"{self.reason}, {place} (character {self.at + 1})"


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int


def evaluate(expression: str) -> Number:
    """What the expression comes to. Raises ``Fault``."""
    with localcontext(_CONTEXT):
        value = _Reader(expression).read()
    return value if isinstance(value, int) else _RESULT.normalize(value)


class _Reader:
    """One expression, computed while it is read."""

    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._next = 0
        self._depth = 0

    def read(self) -> Number:
        value = self._binary(0)
        if self._peek.kind != "end":
            raise Fault("an operator is missing", self._peek.at)
        return value

    @property
    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _take(self) -> _Token:
        token = self._peek
        self._next += 1
        return token

    def _binary(self, least: int) -> Number:
        """An expression of operators that bind stronger than ``least``."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise Fault("it is nested too deeply", self._peek.at)
        left = self._value()
        while (power := _BINARY.get(self._peek.text, 0)) > least:
            operator = self._take()
            # A power takes what is right of it first: 2 ** 3 ** 2 is 2 ** 9.
            right = self._binary(power - 1 if operator.text == "**" else power)
            left = _computed(operator.at, _OPERATORS[operator.text], left, right)
        self._depth -= 1
        return left

    def _value(self) -> Number:
        token = self._take()
        if token.kind == "number":
            return _number(token)
        if token.text in ("+", "-"):
            value = self._binary(_SIGNED)
            return -value if token.text == "-" else value
        if token.text == "(":
            value = self._binary(0)
            self._close(token)
            return value
        if token.kind != "name":
            raise Fault("a number is missing", token.at)
        return self._named(token)

    def _named(self, name: _Token) -> Number:
        if self._peek.text != "(":
            if name.text in _CONSTANTS:
                return _CONSTANTS[name.text]
            missing = "its parentheses are missing" if name.text in _FUNCTIONS else "unknown name"
            raise Fault(missing, name.at)
        opening = self._take()
        values = [] if self._peek.text == ")" else [self._binary(0)]
        while self._peek.text == ",":
            self._take()
            values.append(self._binary(0))
        self._close(opening)
        if name.text not in _FUNCTIONS:
            raise Fault("there is no such function", name.at)
        least, most, function = _FUNCTIONS[name.text]
        if not least <= len(values) <= most:
            wanted = f"{least}" if least == most else f"{least} or more"
            raise Fault(f"{name.text} takes {wanted}, not {len(values)}", name.at)
        return _computed(name.at, function, *values)

    def _close(self, opening: _Token) -> None:
        if self._peek.text != ")":
            raise Fault("a parenthesis is not closed", opening.at)
        self._take()


def _tokens(text: str) -> list[_Token]:
    tokens, at = [], 0
    while found := _TOKEN.match(text, at):
        kind = found.lastgroup or ""
        word = found[kind]
        tokens.append(_Token(kind, _SAME.get(word, word), found.start(kind)))
        at = found.end()
    if rest := text[at:].strip():
        raise Fault("it is not arithmetic", text.index(rest, at))
    tokens.append(_Token("end", "", len(text)))
    return tokens


def _number(token: _Token) -> Number:
    if token.text.isdigit():
        return _bounded(int(token.text), token.at)
    return _computed(token.at, lambda: +Decimal(token.text))


def _computed(at: int, compute: Callable[..., Number], *values: Number) -> Number:
    try:
        return _bounded(compute(*values), at)
    except ZeroDivisionError:
        raise Fault("it divides by zero", at) from None
    except (DecimalException, OverflowError):
        raise Fault("it has no value, or one that is too large", at) from None
    except ValueError as error:
        if isinstance(error, Fault):
            raise
        raise Fault(str(error), at) from None


def _bounded(value: Number, at: int) -> Number:
    if isinstance(value, int) and value.bit_length() > _MAX_BITS:
        raise Fault(f"it has more than {MAX_DIGITS} digits", at)
    return value


# ---- what can be computed


def _divide(left: Number, right: Number) -> Number:
    if isinstance(left, int) and isinstance(right, int) and right and left % right == 0:
        return left // right
    if not right:
        raise ZeroDivisionError
    return Decimal(left) / Decimal(right)


def _floor_divide(left: Number, right: Number) -> Number:
    if isinstance(left, int) and isinstance(right, int):
        return left // right
    return _floor(_divide(left, right))


def _modulo(left: Number, right: Number) -> Number:
    """With the sign of ``right``, as ``left - right * floor(left / right)``."""
    if isinstance(left, int) and isinstance(right, int):
        return left % right
    return left - right * _floor(_divide(left, right))


def _power(base: Number, exponent: Number) -> Number:
    if isinstance(base, int) and isinstance(exponent, int):
        if exponent >= 0:
            if base.bit_length() * exponent > 2 * _MAX_BITS and abs(base) > 1:
                raise OverflowError
            return int(base**exponent)
        return _divide(1, _power(base, -exponent)) if base else _divide(1, 0)
    if not base and exponent < 0:
        raise ZeroDivisionError
    return Decimal(base) ** Decimal(exponent)


def _floor(value: Number) -> int:
    if isinstance(value, Decimal) and value.adjusted() > MAX_DIGITS:
        raise OverflowError
    return math.floor(value)


def _ceil(value: Number) -> int:
    return -_floor(-value)


def _round(value: Number, digits: Number = 0) -> Number:
    if not isinstance(digits, int) or abs(digits) > MAX_DIGITS:
        raise ValueError("round wants a small whole number of digits")
    if isinstance(value, int):
        return round(value, digits) if digits < 0 else value
    if digits > PRECISION:
        return value
    # Halves go away from zero, as at school.
    grown = _floor(abs(value).scaleb(digits) + Decimal("0.5"))
    rounded = Decimal(-grown if value < 0 else grown).scaleb(-digits)
    return int(rounded) if digits <= 0 else rounded


def _sqrt(value: Number) -> Number:
    if value < 0:
        raise ValueError("there is no root of a negative number")
    if isinstance(value, int) and math.isqrt(value) ** 2 == value:
        return math.isqrt(value)
    return Decimal(value).sqrt()


def _ln(value: Number) -> Number:
    if value <= 0:
        raise ValueError("a logarithm wants a positive number")
    return Decimal(value).ln()


def _log10(value: Number) -> Number:
    if value <= 0:
        raise ValueError("a logarithm wants a positive number")
    return _whole(Decimal(value).log10())


def _log(value: Number, base: Number | None = None) -> Number:
    return _ln(value) if base is None else _whole(_divide(_ln(value), _ln(base)))


def _whole(value: Number) -> Number:
    """A whole number where it is one but for the last digits."""
    near = _floor(value + Decimal("0.5"))
    return near if abs(Decimal(value) - near) < Decimal(10) ** (5 - PRECISION) else value


def _float(function: Callable[[float], float]) -> Callable[[Number], Number]:
    def compute(value: Number) -> Number:
        number = float(value)
        if abs(number) > 1e15:
            raise OverflowError
        return Decimal(repr(function(number))).quantize(Decimal(10) ** -SINE_DIGITS)

    return compute


def _factorial(value: Number) -> Number:
    if not isinstance(value, int) or not 0 <= value <= MAX_FACTORIAL:
        raise ValueError(f"factorial wants a whole number from 0 to {MAX_FACTORIAL}")
    return math.factorial(value)


def _of_integers(function: Callable[..., int]) -> Callable[..., Number]:
    def compute(*values: Number) -> Number:
        if not all(isinstance(value, int) for value in values):
            raise ValueError("it wants whole numbers")
        return function(*values)

    return compute


def _sum(*values: Number) -> Number:
    total: Number = 0
    for value in values:
        total = total + value
    return total


def _mean(*values: Number) -> Number:
    return _divide(_sum(*values), len(values))


_PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494")
_CONSTANTS: Mapping[str, Number] = {
    "pi": _PI,
    "tau": Decimal("6.28318530717958647692528676655900576839433879875021164194989"),
    "e": Decimal("2.71828182845904523536028747135266249775724709369995957496697"),
}
_OPERATORS: Mapping[str, Callable[[Number, Number], Number]] = {
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
    "*": lambda left, right: left * right,
    "/": _divide,
    "//": _floor_divide,
    "%": _modulo,
    "**": _power,
}
_MANY = 100
_FUNCTIONS: Mapping[str, tuple[int, int, Callable[..., Number]]] = {
    "abs": (1, 1, abs),
    "round": (1, 2, _round),
    "floor": (1, 1, _floor),
    "ceil": (1, 1, _ceil),
    "sqrt": (1, 1, _sqrt),
    "exp": (1, 1, lambda value: Decimal(value).exp()),
    "ln": (1, 1, _ln),
    "log": (1, 2, _log),
    "log10": (1, 1, _log10),
    "log2": (1, 1, lambda value: _log(value, 2)),
    "sin": (1, 1, _float(math.sin)),
    "cos": (1, 1, _float(math.cos)),
    "tan": (1, 1, _float(math.tan)),
    "asin": (1, 1, _float(math.asin)),
    "acos": (1, 1, _float(math.acos)),
    "atan": (1, 1, _float(math.atan)),
    "degrees": (1, 1, lambda value: value * 180 / _PI),
    "radians": (1, 1, lambda value: value * _PI / 180),
    "min": (1, _MANY, min),
    "max": (1, _MANY, max),
    "sum": (1, _MANY, _sum),
    "mean": (1, _MANY, _mean),
    "gcd": (1, _MANY, _of_integers(math.gcd)),
    "lcm": (1, _MANY, _of_integers(math.lcm)),
    "factorial": (1, 1, _factorial),
}
"""How few and how many values each takes, and what it makes of them."""

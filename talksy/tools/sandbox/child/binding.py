"""From checked arguments to the keywords of a function."""

from collections.abc import Callable, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic.fields import FieldInfo

from talksy.tools.signature import read_signature, told_name

SCALARS = frozenset({str, int, float, bool, NoneType})


def bound(function: Callable[..., Any], arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """``arguments``, which were checked before they came here, in the types of ``function``.

    Where they have them already, nothing is made of its signature: that would take as long as all
    the rest of a call.
    """
    hints = get_type_hints(function, include_extras=True)
    hints.pop("return", None)
    named = {told_name(own): own for own in hints}
    if named.keys() == arguments.keys() and all(
        _fits(hints[own], arguments[name]) for name, own in named.items()
    ):
        return {own: arguments[name] for name, own in named.items()}
    return read_signature(function).bind(arguments)


def _fits(hint: Any, value: object) -> bool:
    """Whether it would stay what it is: bounds were looked at, and only a ``Field`` has no more."""
    kind = get_origin(hint)
    if kind is Annotated:
        plain, *more = get_args(hint)
        return all(isinstance(each, FieldInfo) for each in more) and _fits(plain, value)
    if kind is Literal:
        return all(type(each) in SCALARS for each in get_args(hint))
    if kind in {Union, UnionType}:
        return SCALARS.issuperset(get_args(hint)) and type(value) in get_args(hint)
    return hint in SCALARS and type(value) is hint

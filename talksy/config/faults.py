"""What is wrong with the settings, said so that it can be put right."""

import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import ValidationError
from pydantic.fields import FieldInfo

SHOWN = 60
"""Characters of a wrong value that are shown."""


class SettingsError(Exception):
    """The settings do not allow a start. ``faults`` has a line for each thing to put right."""

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(("the settings do not allow a start:", *self.faults)))


def read_faults(
    error: ValidationError, fields: Mapping[str, FieldInfo], given: Mapping[str, str]
) -> list[str]:
    """One line a fault: the variable, what is wrong with it and what is right.

    A field hidden from ``repr`` may hold a secret: its value is left out of the line.
    """
    lines = []
    for fault in error.errors(include_url=False, include_input=False):
        variable = str(fault["loc"][0]).upper()
        # The one setting with two names is found by either.
        field = fields.get(variable.lower(), fields["talksy_env"])
        shown = ""
        if variable in given and field.repr:
            value = given[variable]
            shown = f"={value if len(value) <= SHOWN else value[:SHOWN] + '…'}"
        what = fault.get("ctx", {}).get("error") or f"is not {_right(field)}"
        lines.append(f"{variable}{shown} {what}")
    return lines


def _right(field: FieldInfo) -> str:
    """What a field takes."""
    kind = _required(field.annotation)
    if typing.get_origin(kind) is Literal:
        return f"one of {', '.join(typing.get_args(kind))}"
    if kind is bool:
        return "true or false"
    low = [bound.ge for bound in field.metadata if hasattr(bound, "ge")]
    high = [bound.le for bound in field.metadata if hasattr(bound, "le")]
    number = "a number" if kind is float else "a whole number"
    return f"{number} from {low[0]} to {high[0]}"


def _required(kind: Any) -> Any:
    """``kind`` without its wrapping: of ``X | None`` and of ``Annotated[X, …]`` the X."""
    while typing.get_origin(kind) in (typing.Union, types.UnionType, typing.Annotated):
        kind = typing.get_args(kind)[0]
    return kind

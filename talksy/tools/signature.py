"""From a function's signature and docstring to the schema of its parameters."""

import inspect
import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import orjson
import pydantic
from pydantic import BaseModel, ConfigDict, Field, create_model
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import to_jsonable_python

from talksy.tools.definition import Caller
from talksy.tools.faults import MAX_FAULTS, path_of, validation_error

ARGUMENT = re.compile(r"(\s*)\*{0,2}(\w+)\s*(?:\([^)]*\))?:\s+(\S.*)")


class BadTool(TypeError):
    """A function cannot be a tool as it is. The text says what to change."""


LONG = 16_384
"""Bytes of JSON beyond which it is only told which arguments are wrong, and not where in them."""
MOST_FAULTS = 1_000
"""More are not told one by one: to write them down would hold up everybody."""


@dataclass(frozen=True, slots=True)
class Signature:
    """What a function takes."""

    description: str
    schema: Mapping[str, Any]
    """The JSON Schema of its parameters."""
    caller: str | None
    """The parameter that is given the ``Caller``."""
    _model: type[BaseModel]
    _names: Mapping[str, str]
    """The function's names of the parameters, by theirs in the schema."""
    _defaults: Mapping[str, Any]
    """As JSON has them, by the names in the schema."""
    _quick: list[Any] = field(default_factory=list)
    """Who looks at long arguments first, once there were some."""

    def check(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments with defaults filled in. Raises ``ValidationError`` with each path."""
        self._read(arguments)
        given = {**self._defaults, **arguments}
        return {name: given[name] for name in self._names}

    def bind(self, arguments: Mapping[str, Any], caller: Caller | None = None) -> dict[str, Any]:
        """The keywords to call the function with: ``arguments`` in the types that it wants.

        Raises ``ValidationError``.
        """
        read = self._read(arguments)
        bound = {own: getattr(read, _field(name)) for name, own in self._names.items()}
        if self.caller is not None:
            bound[self.caller] = caller
        return bound

    def _read(self, arguments: Mapping[str, Any]) -> BaseModel:
        if len(arguments) > len(self._names) + MAX_FAULTS:
            # Before anybody writes a line about each of them.
            unknown = [name for name in arguments if name not in self._names][:MAX_FAULTS]
            raise validation_error((name[:64], "there is no such parameter") for name in unknown)
        try:
            text = orjson.dumps(arguments)
        except TypeError as error:
            raise validation_error([("", "they are not JSON")]) from error
        if len(text) > LONG:
            self._look(arguments)
        try:
            # As JSON, a string may be a time; strictly, it may not be a number.
            return self._model.model_validate_json(text, strict=True, extra="forbid")
        except pydantic.ValidationError as error:
            if (count := error.error_count()) > MOST_FAULTS:
                raise validation_error([("", f"they have {count} faults")]) from None
            faults = error.errors(include_url=False, include_input=False)
        raise validation_error((path_of(fault["loc"]), fault["msg"]) for fault in faults)

    def _look(self, arguments: Mapping[str, Any]) -> None:
        """Looks whether long arguments fit: to find each fault in them would hold up everybody."""
        from talksy.tools.schema import Fit  # not in the sandbox: there it was checked before

        if not self._quick:
            self._quick.append(Fit(self.schema))
        if faults := self._quick[0].faults(arguments):
            raise validation_error(faults)


def read_signature(function: Callable[..., Any]) -> Signature:
    """What ``function`` takes. Raises ``BadTool``."""
    description, described = _read_docstring(function)
    fields: dict[str, Any] = {}
    names: dict[str, str] = {}
    defaults: dict[str, Any] = {}
    caller = None
    hints = _hints(function)
    for own, parameter in inspect.signature(function).parameters.items():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise BadTool(f"{_name(function)}: name each parameter instead of {parameter}")
        if own not in hints:
            raise BadTool(
                f"{_name(function)}: the parameter {own} needs a type, such as {own}: str"
            )
        if hints[own] is Caller:
            caller = own
            continue
        name = told_name(own)
        names[name] = own
        fields[_field(name)] = _field_of(hints[own], name, described.get(own), parameter.default)
        default = parameter.default
        if isinstance(default, FieldInfo):
            default = default.default if not default.is_required() else inspect.Parameter.empty
        if default is not inspect.Parameter.empty:
            defaults[name] = to_jsonable_python(default)
    try:
        model: type[BaseModel] = create_model(
            "Parameters", __config__=ConfigDict(extra="forbid", regex_engine="rust-regex"), **fields
        )
        schema = _closed(model.model_json_schema(schema_generator=_Untitled))
    except (PydanticSchemaGenerationError, PydanticUserError) as error:
        reason = str(error).partition("\n")[0]
        raise BadTool(
            f"{_name(function)}: a parameter's type is none for JSON: {reason}"
        ) from error
    schema.setdefault("properties", {})
    return Signature(description, schema, caller, model, names, defaults)


def told_name(own: str) -> str:
    """What the model is told that a parameter is called: of ``from_`` it is ``from``."""
    return own.removesuffix("_") or own


def _field_of(hint: Any, name: str, described: str | None, default: Any) -> tuple[Any, Any]:
    """A field of the model. What the docstring says stands back behind a ``Field``'s own words."""
    own = FieldInfo.from_annotation(hint).description
    if isinstance(default, FieldInfo):
        own = own or default.description
    more = {} if own or not described else {"description": described}
    annotated = Annotated[hint, Field(alias=name, **more)]
    return annotated, ... if default is inspect.Parameter.empty else default


def _field(name: str) -> str:
    # Any name may be a parameter's, but not a field's: `schema` and `_x` are taken.
    return f"p_{name}"


class _Untitled(GenerateJsonSchema):
    """Without the titles that only say a field's name once more."""

    def field_title_should_be_set(self, _: Any) -> bool:
        return False


def _closed(schema: dict[str, Any]) -> dict[str, Any]:
    """``schema`` as it is enforced: what an object does not name it does not take."""

    def close(part: Any) -> Any:
        if isinstance(part, list):
            return [close(each) for each in part]
        if not isinstance(part, dict):
            return part
        closed = {
            key: {name: close(each) for name, each in value.items()}
            if key in ("properties", "$defs")
            else value
            if key in ("default", "const", "enum", "examples")
            else close(value)
            for key, value in part.items()
        }
        if isinstance(closed.get("title"), str):
            del closed["title"]
        if "properties" in closed:
            closed.setdefault("additionalProperties", False)
        return closed

    closed: dict[str, Any] = close(schema)
    return closed


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError) as error:
        raise BadTool(f"{_name(function)}: a type cannot be found: {error}") from error


def _read_docstring(function: Callable[..., Any]) -> tuple[str, dict[str, str]]:
    """Its first paragraph, and what it says of each parameter in lines of ``name: words``."""
    first, _, rest = inspect.cleandoc(function.__doc__ or "").partition("\n\n")
    if not first:
        raise BadTool(f"{_name(function)}: the model chooses by the docstring: write one")
    described: dict[str, str] = {}
    own = inspect.signature(function).parameters
    known = {name.removesuffix("_"): name for name in own} | {name: name for name in own}
    name, depth = "", 0
    for line in rest.splitlines():
        found = ARGUMENT.fullmatch(line)
        if found is not None and found[2] in known:
            name, depth = known[found[2]], len(found[1])
            described[name] = found[3].strip()
        elif name and line.strip() and len(line) - len(line.lstrip()) > depth:
            described[name] += f" {line.strip()}"
        else:
            name = ""
    return " ".join(first.split()), described


def _name(function: Callable[..., Any]) -> str:
    return f"{function.__module__}.{function.__qualname__}"

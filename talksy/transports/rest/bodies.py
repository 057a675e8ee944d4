"""What comes in and what goes out, as models, and the reading of it."""

import json
from collections.abc import Callable
from typing import Annotated, Any, Literal, NoReturn, TypeVar

import pydantic
from aiohttp import web
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from talksy.auth import Grant, User, email_faults, password_faults
from talksy.errors import PayloadTooLarge, ValidationError
from talksy.transports.faults import validation_error
from talksy.transports.wire import iso


class Body(BaseModel):
    """Strict, camelCase, and every field known."""

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True
    )


def _rule(faults: Callable[[str], list[str]]) -> AfterValidator:
    def check(value: str) -> str:
        found = faults(value)
        if found:
            raise PydanticCustomError(
                "rule", "{reason}", {"reason": "; ".join(found), "all": found}
            )
        return value

    return AfterValidator(check)


class RegisterBody(Body):
    email: Annotated[str, _rule(email_faults)] = Field(description="Kept as typed, trimmed.")
    password: Annotated[str, _rule(password_faults)] = Field(
        description="8 characters to 72 bytes of UTF-8; upper case, lower case and digit."
    )


class LoginBody(Body):
    email: str
    password: str


class RefreshBody(Body):
    refresh_token: str


class UserBody(Body):
    id: str
    email: str
    created_at: str = Field(description="ISO 8601, UTC.")

    @classmethod
    def of(cls, user: User) -> "UserBody":
        return cls(id=user.id, email=user.email, created_at=iso(user.created_at))


class GrantBody(Body):
    access_token: str
    refresh_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - the name of the scheme
    expires_in: int = Field(description="Seconds the access token lives.")
    user: UserBody | None = Field(None, description="Left out after a refresh.")

    @classmethod
    def of(cls, grant: Grant) -> "GrantBody":
        return cls(
            access_token=grant.access_token,
            refresh_token=grant.refresh_token,
            expires_in=grant.expires_in,
            user=UserBody.of(grant.user) if grant.user else None,
        )


B = TypeVar("B", bound=Body)


async def read(request: web.Request, model: type[B], max_bytes: int) -> B:
    """The request's JSON body.

    Raises ``PayloadTooLarge``, or ``ValidationError`` that lists what is wrong with it.
    """
    charset = (request.charset or "utf-8").lower()
    if request.content_type != "application/json" or charset != "utf-8":
        sent = request.headers.get("Content-Type", "nothing")[:100]
        raise ValidationError(f"Send the body as Content-Type application/json, not {sent}.")
    data = _parse(await _receive(request, max_bytes))
    try:
        return model.model_validate(data)
    except pydantic.ValidationError as error:
        raise validation_error(error) from None


def answer(body: Body, status: int = 200) -> web.Response:
    """A body as a response; what is None is left out."""
    text = body.model_dump_json(by_alias=True, exclude_none=True)
    return web.json_response(text=text, status=status)


async def _receive(request: web.Request, max_bytes: int) -> bytes:
    too_large = PayloadTooLarge(f"The body may have at most {max_bytes} bytes.")
    if (request.content_length or 0) > max_bytes:
        raise too_large
    body = bytearray()
    try:
        async for chunk in request.content.iter_any():
            body += chunk
            if len(body) > max_bytes:
                raise too_large
    except (web.RequestPayloadError, ConnectionError):
        raise ValidationError("The body could not be read to its end.") from None
    return bytes(body)


def _parse(body: bytes) -> dict[str, Any]:
    try:
        data = json.loads(
            body.decode(), object_pairs_hook=_once, parse_constant=_no_json, parse_int=_integer
        )
    except RecursionError:
        raise ValidationError("The body is nested too deeply.") from None
    except UnicodeDecodeError:
        raise ValidationError("The body is not UTF-8.") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise ValidationError(f"The body is not JSON: {error.msg} at {where}.") from None
    if not isinstance(data, dict):
        raise ValidationError("The body must be a JSON object.")
    return data


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Two readers of one body may each take another of the two, so neither is taken.
    names: set[str] = set()
    for name, _ in pairs:
        if name in names:
            raise ValidationError(
                f"{name[:64]!r} is given twice.", faults=[(name[:64], "is given twice")]
            )
        names.add(name)
    return dict(pairs)


def _no_json(name: str) -> NoReturn:
    raise ValidationError(f"The body is not JSON: it has no {name}.")


def _integer(digits: str) -> float:
    # int() of many digits takes long, and Python refuses it; its size is all that matters here.
    return int(digits) if len(digits) < 20 else float(digits)

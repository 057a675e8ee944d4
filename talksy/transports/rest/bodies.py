"""What comes in and what goes out, as models, and the reading of it."""

from collections.abc import Callable
from typing import Annotated, Literal, TypeVar

import pydantic
from aiohttp import web
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from talksy.auth import Grant, User, email_faults, password_faults
from talksy.errors import PayloadTooLarge, ValidationError
from talksy.transports.faults import validation_error
from talksy.transports.reading import check, parse
from talksy.transports.shapes import Time
from talksy.transports.wire import iso


class Body(BaseModel):
    """Strict, camelCase, and every field known."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        alias_generator=to_camel,
        populate_by_name=True,
        use_attribute_docstrings=True,
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
    """A new account."""

    email: Annotated[str, _rule(email_faults)] = Field(json_schema_extra={"format": "email"})
    """Kept as typed, trimmed; its case does not matter afterwards."""
    password: Annotated[str, _rule(password_faults)] = Field(
        json_schema_extra={"minLength": 8, "maxLength": 72}
    )
    """8 characters to 72 bytes of UTF-8; upper case, lower case and digit."""


class LoginBody(Body):
    """Who comes back."""

    email: str
    """As at registering, in any case."""
    password: str


class RefreshBody(Body):
    """A family of tokens, by its newest one."""

    refresh_token: str
    """As logging in or the last refresh gave it."""


class UserBody(Body):
    """An account."""

    id: str
    email: str
    created_at: Time

    @classmethod
    def of(cls, user: User) -> "UserBody":
        return cls(id=user.id, email=user.email, created_at=iso(user.created_at))


class TokensBody(Body):
    """A pair of tokens."""

    access_token: str
    """For `Authorization: Bearer` and for the handshake's `auth.token`."""
    refresh_token: str
    """For one refresh, which gives the next."""
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - the name of the scheme
    expires_in: int
    """Seconds the access token lives."""

    @classmethod
    def of(cls, grant: Grant) -> "TokensBody":
        return cls(
            access_token=grant.access_token,
            refresh_token=grant.refresh_token,
            expires_in=grant.expires_in,
        )


class GrantBody(TokensBody):
    """A pair of tokens, and whose they are."""

    user: UserBody

    @classmethod
    def of(cls, grant: Grant) -> "GrantBody":
        """Raises ``ValueError`` for what a refresh gave, which tells no user."""
        if grant.user is None:
            raise ValueError("a refresh tells no user")
        return cls(**vars(TokensBody.of(grant)), user=UserBody.of(grant.user))


B = TypeVar("B", bound=BaseModel)


async def read(request: web.Request, model: type[B], max_bytes: int) -> B:
    """The request's JSON body.

    Raises ``PayloadTooLarge``, or ``ValidationError`` that lists what is wrong with it.
    """
    charset = (request.charset or "utf-8").lower()
    if request.content_type != "application/json" or charset != "utf-8":
        sent = request.headers.get("Content-Type", "nothing")[:100]
        raise ValidationError(f"Send the body as Content-Type application/json, not {sent}.")
    try:
        data = parse((await _receive(request, max_bytes)).decode())
        check(data)
        return model.model_validate(data)
    except UnicodeDecodeError:
        raise ValidationError("The body is not UTF-8.") from None
    except pydantic.ValidationError as error:
        raise validation_error(error) from None


def answer(body: BaseModel, status: int = 200) -> web.Response:
    """A body as a response."""
    text = body.model_dump_json(by_alias=True)
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

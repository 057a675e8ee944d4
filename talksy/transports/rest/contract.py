"""What REST clients may count on, route by route, and OpenAPI's document made of it."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from aiohttp import web
from pydantic import BaseModel

from talksy.errors import (
    EmailTaken,
    Forbidden,
    InternalError,
    InvalidCredentials,
    MethodNotAllowed,
    NotFound,
    Overloaded,
    PayloadTooLarge,
    RateLimited,
    ServerDraining,
    TalksyError,
    TokenExpired,
    Unauthenticated,
    ValidationError,
)
from talksy.transports.rest.bodies import (
    GrantBody,
    LoginBody,
    RefreshBody,
    RegisterBody,
    TokensBody,
    UserBody,
)
from talksy.transports.rest.health import (
    AboutBody,
    DetailedBody,
    HealthBody,
    ProbeBody,
    ReadyBody,
)
from talksy.transports.rest.problems import PROBLEM, WAITING, document
from talksy.transports.rest.profiles import PATH, NewProfile, ProfileBody, ProfilesBody
from talksy.transports.schemas import Json, Schemas, codes
from talksy.transports.shapes import Problem

JSON = "application/json"
REQUEST_ID = "req_5f0c1c9d8e7b4a36"
EMAIL = "ada@example.com"
PASSWORD = "Hello-Talksy-1"  # noqa: S105 - an example's
REFRESH = "rt_k3Jx0uYv9wq2Zr8TtLm4Hc7Bd5Ns1Pf6Ga-EoQiRyUW"

USER = UserBody(id="usr_2f7Hk9QzLm4Xc8Vb", email=EMAIL, created_at="2026-11-21T09:30:00.000Z")
TOKENS = TokensBody(
    access_token="eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1c3JfMmYifQ.c2lnbmF0dXJl",  # noqa: S106
    refresh_token=REFRESH,
    expires_in=900,
)
GRANT = GrantBody(**vars(TOKENS), user=USER)
NEW_PROFILE = NewProfile.model_validate(
    {"name": "my-desk", "base": "wake-word", "turnDetection": {"silenceDurationMs": 700}}
)
PROFILE = ProfileBody.of(NEW_PROFILE.name, NEW_PROFILE.own())
VERSION = "1.0.0"


@dataclass(frozen=True, slots=True)
class Answer:
    """What comes back under one status. ``example`` is a body; text where ``media`` says so."""

    says: str
    example: BaseModel | None = None
    media: str = JSON


@dataclass(frozen=True, slots=True)
class Route:
    """A method of a path."""

    tag: str
    does: str
    more: str
    answers: Mapping[int, Answer]
    takes: BaseModel | None = None
    """An example of the request's body; its model is the one that is read."""
    refusals: Sequence[type[TalksyError]] = ()
    bearer: bool = False
    sent: Sequence[str] = ()
    """Headers of the answers, beside those of all."""


_BODY = (ValidationError, PayloadTooLarge)
_DATABASE = (Overloaded,)
_PROFILE = (Unauthenticated, TokenExpired, RateLimited, *_DATABASE)

ROUTES: Mapping[tuple[str, str], Route] = {
    ("POST", "/auth/register"): Route(
        "Accounts",
        "Make an account",
        "Of parallel attempts for one e-mail address, whatever its case, exactly one wins.",
        {201: Answer("The account, and its first tokens.", GRANT)},
        takes=RegisterBody(email=EMAIL, password=PASSWORD),
        refusals=[*_BODY, EmailTaken, RateLimited, *_DATABASE],
    ),
    ("POST", "/auth/login"): Route(
        "Accounts",
        "Log in",
        "An unknown address and a wrong password are answered alike, after the same time. Failures "
        "are counted for the account and the address they come from.",
        {200: Answer("A family of tokens of its own.", GRANT)},
        takes=LoginBody(email=EMAIL, password=PASSWORD),
        refusals=[*_BODY, InvalidCredentials, RateLimited, *_DATABASE],
    ),
    ("POST", "/auth/refresh"): Route(
        "Accounts",
        "Trade a refresh token for the next pair",
        "Within the grace (10 s unless set otherwise) the same token gives the same successor "
        "again. Later it is taken for stolen: its family is revoked, and no other.",
        {200: Answer("The next pair of the family.", TOKENS)},
        takes=RefreshBody(refresh_token=REFRESH),
        refusals=[*_BODY, Unauthenticated, TokenExpired, RateLimited, *_DATABASE],
    ),
    ("POST", "/auth/logout"): Route(
        "Accounts",
        "Log out",
        "The family is revoked: its access tokens are refused at once, and its sockets are closed. "
        "An unknown token is no error.",
        {204: Answer("Done.")},
        takes=RefreshBody(refresh_token=REFRESH),
        refusals=[*_BODY, *_DATABASE],
    ),
    ("GET", "/auth/me"): Route(
        "Accounts",
        "Who am I?",
        "The account of the access token.",
        {200: Answer("The account.", USER)},
        refusals=[Unauthenticated, TokenExpired, *_DATABASE],
        bearer=True,
    ),
    ("GET", PATH): Route(
        "Voice",
        "All voice profiles",
        "The built-in ones first, then your own by name.",
        {200: Answer("The profiles.", ProfilesBody([ProfileBody.of("vad-triggered"), PROFILE]))},
        refusals=_PROFILE,
        bearer=True,
    ),
    ("POST", PATH): Route(
        "Voice",
        "Make a voice profile, or replace it",
        "What it does not say is as its base has it, however deep that stands. You may have 50.",
        {200: Answer("It was replaced.", PROFILE), 201: Answer("It is new.", PROFILE)},
        takes=NEW_PROFILE,
        refusals=[*_BODY, Forbidden, *_PROFILE],
        bearer=True,
    ),
    ("GET", f"{PATH}/{{name}}"): Route(
        "Voice",
        "One voice profile",
        "As it counts, with all that its base has.",
        {200: Answer("The profile.", PROFILE)},
        refusals=[NotFound, *_PROFILE],
        bearer=True,
    ),
    ("DELETE", f"{PATH}/{{name}}"): Route(
        "Voice",
        "Delete a voice profile",
        "One that is in use counts until `voice_start` is sent again. The built-in ones stay.",
        {204: Answer("Done.")},
        refusals=[Forbidden, NotFound, *_PROFILE],
        bearer=True,
    ),
    ("GET", "/"): Route(
        "The server",
        "Who is here?",
        "The name, the version, and where to read on.",
        {200: Answer("The server.", AboutBody(version=VERSION))},
    ),
    ("GET", "/health"): Route(
        "The server",
        "Does the process live?",
        "Depends on nothing else.",
        {200: Answer("It does.", HealthBody(version=VERSION, uptime=86400.5, connections=12))},
    ),
    ("GET", "/health/detailed"): Route(
        "The server",
        "How is each part?",
        "What is `degraded` is said openly; with a part that is `down` the status is 503.",
        {
            200: Answer(
                "It serves.",
                DetailedBody(
                    status="ok",
                    version=VERSION,
                    uptime=86400.5,
                    components={"database": {"state": "ok", "latencyMs": 0.4}},
                ),
            ),
            503: Answer(
                "It does not serve.",
                DetailedBody(
                    status="down",
                    version=VERSION,
                    uptime=86400.5,
                    components={"database": {"state": "down"}},
                ),
            ),
        },
    ),
    ("GET", "/health/live"): Route(
        "The server",
        "Does the event loop turn?",
        "For an orchestrator: restart it if it does not.",
        {200: Answer("It does.", ProbeBody())},
        refusals=[ServerDraining],
    ),
    ("GET", "/health/ready"): Route(
        "The server",
        "Does it take new work?",
        "Not while it drains or cannot serve: for a load balancer. Where only Redis is away it "
        "does, and says `degraded`.",
        {200: Answer("It does.", ReadyBody())},
        refusals=[ServerDraining],
    ),
    ("GET", "/metrics"): Route(
        "The server",
        "Numbers for Prometheus",
        "With the token of `METRICS_TOKEN` as `Authorization: Bearer`; where none is set, from the "
        "server's own machine alone.",
        {200: Answer("The numbers, in Prometheus' text format.", media="text/plain")},
        refusals=[Unauthenticated, Forbidden],
    ),
    ("GET", "/docs"): Route(
        "The contracts",
        "This page",
        "Both contracts to read. It loads nothing from anywhere else.",
        {200: Answer("The page.", media="text/html"), 304: Answer("You have it.")},
        sent=["ETag", "Cache-Control"],
    ),
    ("GET", "/openapi.json"): Route(
        "The contracts",
        "REST, as OpenAPI 3.1",
        "",
        {200: Answer("The document.", media=JSON), 304: Answer("You have it.")},
        sent=["ETag", "Cache-Control"],
    ),
    ("GET", "/asyncapi.json"): Route(
        "The contracts",
        "Socket.IO, as AsyncAPI 3.0",
        "",
        {200: Answer("The document.", media=JSON), 304: Answer("You have it.")},
        sent=["ETag", "Cache-Control"],
    ),
}
"""Every route there is; one that is not here cannot be added."""

PARTS: Mapping[str, Json] = {
    "name": {
        "description": "The profile's name.",
        "schema": {"type": "string", "minLength": 1},
        "example": NEW_PROFILE.name,
    },
}
"""What stands in a path between braces."""

HEADERS: Mapping[str, Json] = {
    "X-Request-Id": {
        "description": "Your own, if you sent one; the server's log has it, too.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
        "example": REQUEST_ID,
    },
    "Retry-After": {
        "description": "Seconds to wait before trying again.",
        "schema": {"type": "integer", "minimum": 1},
        "example": 7,
    },
    "WWW-Authenticate": {
        "description": "How to authenticate.",
        "schema": {"const": "Bearer"},
    },
    "Allow": {
        "description": "The methods this path takes.",
        "schema": {"type": "string"},
        "example": "GET,HEAD",
    },
    "ETag": {
        "description": "Send it as `If-None-Match` to be told whether it still holds.",
        "schema": {"type": "string"},
        "example": '"5d41402abc4b2a76"',
    },
    "Cache-Control": {
        "description": "Ask again each time.",
        "schema": {"const": "no-cache"},
    },
}

ABOUT = """\
Accounts, voice profiles and the server's state over HTTP. Conversations go over Socket.IO: see \
`/asyncapi.json`.

Success is the resource itself. An error is a problem document (RFC 9457) with a `code`, the same \
codes that sockets are told, and a `message` that says what to change. Every answer carries \
`X-Request-Id`. A path that is not listed here answers 404, a method that is not listed 405.
"""


def openapi(routes: Iterable[tuple[str, str]], version: str) -> Json:
    """OpenAPI's document of ``routes``, each a method and a path.

    Raises ``LookupError`` for one that has no contract.
    """
    schemas = Schemas()
    paths: dict[str, Json] = {}
    for method, path in routes:
        if (method, path) not in ROUTES:
            raise LookupError(f"{method} {path} has no contract: add it to ROUTES")
        operation = _operation(method, path, ROUTES[method, path], schemas)
        paths.setdefault(path, {})[method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Talksy REST",
            "version": version,
            "summary": "Accounts, voice profiles, and the server's state.",
            "description": ABOUT,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "servers": [{"url": "/", "description": "The server that this came from."}],
        "tags": [{"name": tag} for tag in dict.fromkeys(route.tag for route in ROUTES.values())],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "accessToken": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "The `accessToken` that logging in gave.",
                }
            },
            "headers": dict(HEADERS),
            "responses": {
                "NotFound": _refusal(404, [NotFound], schemas),
                "MethodNotAllowed": _refusal(405, [MethodNotAllowed], schemas, ["Allow"]),
            },
            "schemas": schemas.components,
        },
        "x-error-codes": codes(),
    }


def listed(router: web.UrlDispatcher) -> list[tuple[str, str]]:
    """The methods and paths of a router. HEAD comes with each GET and is not told apart."""
    return [
        (route.method, route.resource.canonical)
        for route in router.routes()
        if route.resource is not None and route.method != "HEAD"
    ]


def _operation(method: str, path: str, route: Route, schemas: Schemas) -> Json:
    operation: Json = {
        "operationId": f"{method.lower()}{re.sub('[/.{]+', '_', path).rstrip('_}')}",
        "tags": [route.tag],
        "summary": route.does,
        "description": route.more,
        "responses": _responses(route, schemas),
    }
    if parts := re.findall(r"{(\w+)}", path):
        operation["parameters"] = [
            {"name": part, "in": "path", "required": True, **PARTS[part]} for part in parts
        ]
    if route.takes is not None:
        content = {"schema": schemas.taken(type(route.takes)), "example": _said(route.takes)}
        operation["requestBody"] = {"required": True, "content": {JSON: content}}
    if route.bearer:
        operation["security"] = [{"accessToken": []}]
    return operation


def _responses(route: Route, schemas: Schemas) -> Json:
    responses: Json = {}
    for status, answer in route.answers.items():
        response: Json = {"description": answer.says, "headers": _headers(status, route.sent)}
        if answer.example is not None:
            content = {
                "schema": schemas.given(type(answer.example)),
                "example": _shown(answer.example),
            }
            response["content"] = {answer.media: content}
        elif answer.media != JSON:
            response["content"] = {answer.media: {"schema": {"type": "string"}}}
        elif status == HTTPStatus.OK:
            response["content"] = {answer.media: {"schema": {"type": "object"}}}
        responses[str(status)] = response
    refusals: list[type[TalksyError]] = [*route.refusals, InternalError]
    for status in {kind.status for kind in refusals}:
        kinds = [kind for kind in refusals if kind.status == status]
        responses[str(status)] = _refusal(status, kinds, schemas)
    return dict(sorted(responses.items()))


def _refusal(
    status: int, kinds: Sequence[type[TalksyError]], schemas: Schemas, sent: Sequence[str] = ()
) -> Json:
    schema = {
        **schemas.given(Problem),
        "properties": {
            "status": {"const": status},
            "code": {"enum": [kind.code for kind in kinds]},
        },
    }
    examples = {kind.code: {"value": _problem(kind)} for kind in kinds}
    return {
        "description": " ".join((kind.__doc__ or "").strip() for kind in kinds),
        "headers": _headers(status, sent),
        "content": {PROBLEM: {"schema": schema, "examples": examples}},
    }


def _problem(kind: type[TalksyError]) -> Problem:
    if kind is ValidationError:
        error: TalksyError = ValidationError(
            "colour is not a known field", faults=[("colour", "is not a known field")]
        )
    elif issubclass(kind, InternalError):
        error = kind(REQUEST_ID)
    else:
        error = kind(retry_after=7 if kind.status in WAITING else None)
    return document(error, REQUEST_ID)


def _headers(status: int, sent: Sequence[str]) -> Json:
    names = ["X-Request-Id", *sent]
    if status in WAITING:
        names.append("Retry-After")
    if status == HTTPStatus.UNAUTHORIZED:
        names.append("WWW-Authenticate")
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _said(body: BaseModel) -> Any:
    return body.model_dump(mode="json", by_alias=True, exclude_unset=True)


def _shown(body: BaseModel) -> Any:
    return body.model_dump(mode="json", by_alias=True)

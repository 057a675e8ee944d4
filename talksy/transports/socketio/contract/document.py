"""AsyncAPI's document of the events."""

from collections.abc import Mapping, Sequence
from typing import Any, get_args

import orjson

from talksy.errors import (
    ServerDraining,
    SessionLimit,
    TalksyError,
    TokenExpired,
    Unauthenticated,
    ValidationError,
)
from talksy.transports import shapes
from talksy.transports.schemas import Json, Schemas, codes
from talksy.transports.socketio.contract import connection, sessions, tools, turns, voice
from talksy.transports.socketio.contract.entry import (
    ALWAYS,
    ERROR,
    SESSION,
    TOKEN,
    TURN,
    Asked,
    Told,
)
from talksy.transports.socketio.outbox import PLACEHOLDER
from talksy.transports.socketio.payloads import Handshake

ASKED: Mapping[str, Asked] = {
    **turns.ASKED,
    **sessions.ASKED,
    **tools.ASKED,
    **voice.ASKED,
    **connection.ASKED,
}
"""Every event that clients may send."""

TOLD: Mapping[str, Told] = {
    **sessions.TOLD,
    **turns.TOLD,
    **tools.TOLD,
    **voice.TOLD,
    **connection.TOLD,
}
"""Every event that clients are sent."""

_CONNECT_REFUSALS = (
    *ALWAYS,
    Unauthenticated,
    TokenExpired,
    SessionLimit,
    ServerDraining,
)

_QUERY: Json = {
    "type": "object",
    "properties": {
        "EIO": {"const": "4", "description": "The version of Engine.IO; clients send it."},
        "transport": {"enum": ["polling", "websocket"], "description": "Clients send it."},
        "sessionId": {"type": "string", "description": "As `auth.sessionId`, for the first one."},
    },
    "required": ["EIO", "transport"],
}

ABOUT = """\
Conversations over Socket.IO: path `/socket.io`, namespace `/`, WebSocket and polling. Any stock \
client of version 4 of the protocol will do.

The handshake's `auth` says who comes. Every client event takes an ack: `{ok: true, …}` or \
`{ok: false, error}`; without one, a failure comes as `error`. An unknown event, an unknown field \
or a wrong type is refused by name, and the connection stays.

Events of a turn are numbered by `seq` from 0 without a gap, and there is exactly one ending, \
last. A disconnect is not a cancel: the answer goes on, and `resume` reads on behind the last \
number seen.

Sound is signed 16-bit little-endian PCM of one channel, in binary attachments: what you send at \
the rate of `voice_start`, what you hear at 24 kHz.
"""


def asyncapi(version: str) -> Json:
    """AsyncAPI's document of the events."""
    schemas = Schemas()
    messages: dict[str, Json] = {}
    operations: dict[str, Json] = {}
    _connect(messages, operations, schemas)
    for name, asked in ASKED.items():
        _ask(name, asked, messages, operations, schemas)
    for name, told in TOLD.items():
        _tell(name, told, messages, operations, schemas)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Talksy over Socket.IO",
            "version": version,
            "description": ABOUT,
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "here": {
                "host": "{host}",
                "pathname": "/socket.io",
                "protocol": "socket.io",
                "description": "The server that this came from.",
                "variables": {"host": {"default": "localhost:3000"}},
                "security": [{"$ref": "#/components/securitySchemes/accessToken"}],
            }
        },
        "channels": {
            "root": {
                "address": "/",
                "title": "The namespace",
                "description": "All events go over Socket.IO's main namespace.",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
                "bindings": {"ws": {"query": _QUERY, "bindingVersion": "0.1.0"}},
            }
        },
        "operations": operations,
        "components": {
            "messages": messages,
            "schemas": schemas.components,
            "securitySchemes": {
                "accessToken": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "An access token as `auth.token` of the handshake, or as "
                    "`Authorization: Bearer`; never in the query, which logs keep.",
                }
            },
        },
        "x-error-codes": codes(),
    }


def server_events() -> dict[str, Any]:
    """The names that can be sent, each with its shape."""
    pairs = [get_args(pair) for pair in get_args(shapes.ServerEvent)]
    return {get_args(name)[0]: shape for name, shape in pairs}


def _connect(messages: Json, operations: Json, schemas: Schemas) -> None:
    messages["connect"] = {
        "name": "connect",
        "title": "The handshake",
        "summary": "Who comes, to which session, and what it has missed.",
        "payload": schemas.taken(Handshake),
        "examples": [
            {"name": "new", "payload": {"token": TOKEN}},
            {
                "name": "back",
                "payload": {
                    "token": TOKEN,
                    "sessionId": SESSION,
                    "resume": [{"turnId": TURN, "after": 4}],
                },
            },
        ],
    }
    messages["connected"] = {
        "name": "connect",
        "title": "The client is in",
        "payload": schemas.given(shapes.Connected),
        "examples": [{"name": "in", "payload": shapes.Connected(sid="mUo3vX9aQ2cJ8f0AAAB")}],
    }
    refused = shapes.ConnectError(
        message="Log in and send the access token.",
        data={"code": "UNAUTHENTICATED", "message": "Log in and send the access token."},
    )
    messages["connect_error"] = {
        "name": "connect_error",
        "title": "The client is not let in",
        "payload": _narrowed(schemas.given(shapes.ConnectError), "data", _CONNECT_REFUSALS),
        "examples": [{"name": "refused", "payload": refused}],
    }
    operations["connect"] = _operation(
        "receive", "connect", "Come in, or come back.", ["connected", "connect_error"]
    )


def _ask(name: str, asked: Asked, messages: Json, operations: Json, schemas: Schemas) -> None:
    accepted, refused = f"{name}_accepted", f"{name}_refused"
    messages[name] = {
        "name": name,
        "title": name,
        "summary": asked.does,
        "payload": schemas.taken(asked.takes),
        "examples": [{"name": "usual", "payload": asked.example}],
    }
    messages[accepted] = {
        "name": "ack",
        "title": f"{name} is accepted",
        "payload": schemas.given(asked.gives),
        "examples": [{"name": "accepted", "payload": asked.accepted}],
    }
    messages[refused] = {
        "name": "ack",
        "title": f"{name} is refused",
        "payload": _narrowed(schemas.given(shapes.Refused), "error", asked.refusals),
        "examples": [{"name": "refused", "payload": _refused(asked.refusals[0])}],
    }
    operations[name] = _operation("receive", name, asked.does, [accepted, refused])
    if asked.then:
        operations[name]["x-then"] = [*asked.then]


def _tell(name: str, told: Told, messages: Json, operations: Json, schemas: Schemas) -> None:
    messages[name] = {
        "name": name,
        "title": name,
        "summary": told.when,
        "payload": schemas.given(server_events()[name]),
        "examples": [{"name": "usual", "payload": _wired(told.example[1])}],
    }
    operations[name] = _operation("send", name, told.when)


def _wired(payload: Any) -> Any:
    """The payload as its packet has it: what is bytes is attached."""
    return orjson.loads(orjson.dumps(payload, default=lambda _: PLACEHOLDER))


def _operation(action: str, message: str, summary: str, reply: Sequence[str] = ()) -> Json:
    operation: Json = {
        "action": action,
        "channel": {"$ref": "#/channels/root"},
        "summary": summary,
        "messages": [{"$ref": f"#/channels/root/messages/{message}"}],
    }
    if reply:
        operation["reply"] = {
            "channel": {"$ref": "#/channels/root"},
            "messages": [{"$ref": f"#/channels/root/messages/{name}"} for name in reply],
        }
    return operation


def _refused(kind: type[TalksyError]) -> Json:
    error = ERROR if kind is ValidationError else kind().payload()
    return {"ok": False, "error": error}


def _narrowed(schema: Json, where: str, kinds: Sequence[type[TalksyError]]) -> Json:
    """The shape of a refusal, with the codes that this one may have."""
    few = {"properties": {"code": {"enum": [kind.code for kind in kinds]}}}
    return {"allOf": [schema, {"properties": {where: few}}]}

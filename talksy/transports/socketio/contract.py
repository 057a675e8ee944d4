"""What Socket.IO clients may count on, event by event, and AsyncAPI's document made of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import orjson
from pydantic import BaseModel

from talksy.audio import OUT_RATE
from talksy.errors import (
    ApprovalExpired,
    Forbidden,
    IdempotencyConflict,
    InternalError,
    MicBusy,
    NotFound,
    Overloaded,
    PayloadTooLarge,
    ProviderUnavailable,
    RateLimited,
    ServerDraining,
    SessionExpired,
    SessionLimit,
    TalksyError,
    TokenExpired,
    ToolBusy,
    ToolDenied,
    ToolNotFound,
    TurnInProgress,
    TurnNotFound,
    TurnQueueFull,
    Unauthenticated,
    ValidationError,
)
from talksy.transports import shapes
from talksy.transports.schemas import Json, Schemas, codes
from talksy.transports.socketio.outbox import PLACEHOLDER
from talksy.transports.socketio.payloads import (
    Audio,
    AuthRefresh,
    CallTool,
    Cancel,
    GetHistory,
    GetToolInfo,
    Handshake,
    ListTools,
    Nothing,
    Played,
    ResumeTurn,
    StartVoice,
    StreamedMessage,
    ToolDecision,
    UserMessage,
)

SESSION = "ses_9cQ2vXo7TnE4Jr1K"
TURN = "trn_6Lm0yZbW8sUa3HdP"
MESSAGE = "msg_1Vt5KgRf7NxC2eQj"
CALL = "call_8Qd4Wj1ZsXn5Vb0T"
STREAM = "voi_3Hn8Pz6YcWq1Lf5R"
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1c3JfMmYifQ.c2lnbmF0dXJl"  # noqa: S105 - an example
NOW = 1_795_253_400_000
LATER = "2026-11-21T09:45:00.000Z"
SAID = shapes.Message(id=MESSAGE, role="user", content="Hello!", timestamp=NOW, turnId=TURN)
ERROR = shapes.Error(
    code="VALIDATION_ERROR",
    message="text is required",
    errors=[{"path": "text", "message": "is required"}],
    requestId="req_5f0c1c9d8e7b4a36",
)

TOOL = shapes.ToolDefinition(
    name="get_order_status",
    description="The status of an order.",
    category="data",
    version="1.0.0",
    parameters={
        "type": "object",
        "properties": {"orderId": {"type": "string"}},
        "required": ["orderId"],
        "additionalProperties": False,
    },
    timeoutMs=30_000,
    policy="auto",
    sandboxed=False,
)


@dataclass(frozen=True, slots=True)
class Asked:
    """An event that clients send."""

    does: str
    takes: type[BaseModel]
    example: Json
    gives: type[shapes.Accepted]
    accepted: shapes.Ack
    """An example of the ack."""
    refusals: Sequence[type[TalksyError]]
    then: Sequence[str] = ()
    """The events that follow."""


@dataclass(frozen=True, slots=True)
class Told:
    """An event that clients are sent."""

    when: str
    example: shapes.ServerEvent


_ALWAYS = (ValidationError, RateLimited, Overloaded, InternalError)
_SAID = (
    PayloadTooLarge,
    IdempotencyConflict,
    TurnInProgress,
    TurnQueueFull,
    SessionLimit,
    ServerDraining,
    *_ALWAYS,
)
_HEARD = (
    "speech_started",
    "partial_transcript",
    "speech_stopped",
    "final_transcript",
    "wake_word",
    "audio_start",
    "audio_chunk",
    "audio_end",
    "audio_clear",
)
_ACCEPTED = shapes.MessageAccepted(ok=True, messageId=MESSAGE, turnId=TURN)

ASKED: Mapping[str, Asked] = {
    "user_message": Asked(
        "Say something, and get the whole answer at once.",
        UserMessage,
        {"text": "Tell me a joke"},
        shapes.MessageAccepted,
        _ACCEPTED,
        _SAID,
        ["tool_call", "tool_result", "assistant_response"],
    ),
    "user_message_stream": Asked(
        "Say something, and get the answer as it comes. Sent again under the same `messageId`, "
        "after a reconnect, it starts nothing and gives the first ack.",
        StreamedMessage,
        {"text": "Tell me a joke", "messageId": "8e0a6c1e-joke", "onBusy": "queue"},
        shapes.MessageAccepted,
        _ACCEPTED,
        _SAID,
        ["stream_start", "stream_chunk", "stream_reset", "tool_call", "tool_result", "stream_end"],
    ),
    "resume": Asked(
        "Go on with a turn behind the last number seen: what was missed follows, then the rest.",
        ResumeTurn,
        {"turnId": TURN, "after": 4},
        shapes.TurnResumed,
        shapes.TurnResumed(ok=True, status="running", firstSeq=0, lastSeq=9),
        [TurnNotFound, SessionExpired, *_ALWAYS],
        [
            "stream_start",
            "stream_chunk",
            "stream_reset",
            "tool_call",
            "tool_result",
            "stream_end",
            "assistant_response",
        ],
    ),
    "cancel": Asked(
        "End a turn, the running one unless it is named. Asked again, it says the same.",
        Cancel,
        {"turnId": TURN},
        shapes.TurnCancelled,
        shapes.TurnCancelled(ok=True, turnId=TURN, status="cancelled"),
        [TurnNotFound, SessionExpired, *_ALWAYS],
    ),
    "get_history": Asked(
        "Read the conversation back, page by page.",
        GetHistory,
        {"limit": 20},
        shapes.Accepted,
        shapes.Accepted(ok=True),
        [SessionExpired, *_ALWAYS],
        ["conversation_history"],
    ),
    "get_session_info": Asked(
        "Ask about the session.",
        Nothing,
        {},
        shapes.Accepted,
        shapes.Accepted(ok=True),
        [SessionExpired, *_ALWAYS],
        ["session_info"],
    ),
    "list_tools": Asked(
        "Ask which tools may be used.",
        ListTools,
        {"category": "data"},
        shapes.Accepted,
        shapes.Accepted(ok=True),
        _ALWAYS,
        ["tools_list"],
    ),
    "get_tool_info": Asked(
        "Ask about one tool.",
        GetToolInfo,
        {"toolName": "get_order_status"},
        shapes.Accepted,
        shapes.Accepted(ok=True),
        [ToolNotFound, ToolDenied, Forbidden, *_ALWAYS],
        ["tool_info"],
    ),
    "call_tool": Asked(
        "Call a tool. It goes on if the connection is lost; with the session it ends. Where a "
        "person must approve it, `tool_call` says so to all devices of the session.",
        CallTool,
        {"toolName": "get_order_status", "parameters": {"orderId": "ORD-1001"}},
        shapes.ToolCallAccepted,
        shapes.ToolCallAccepted(ok=True, callId=CALL),
        [
            ToolNotFound,
            ToolDenied,
            ToolBusy,
            Forbidden,
            PayloadTooLarge,
            IdempotencyConflict,
            SessionExpired,
            ServerDraining,
            *_ALWAYS,
        ],
        ["tool_result", "tool_call"],
    ),
    "tool_decision": Asked(
        "Approve or refuse a call that waits for a person. The first decision counts, whoever "
        "sends another.",
        ToolDecision,
        {"callId": CALL, "decision": "approve"},
        shapes.ToolDecisionTaken,
        shapes.ToolDecisionTaken(ok=True, decision="approve"),
        [NotFound, ApprovalExpired, SessionExpired, *_ALWAYS],
        ["tool_decided", "tool_result"],
    ),
    "voice_start": Asked(
        "Speak, and be spoken to: `audio` follows. Sent again, it changes how is listened. One "
        "device of a session has the microphone.",
        StartVoice,
        {"mode": "turn", "profile": "vad-triggered", "turnDetection": {"silenceDurationMs": 400}},
        shapes.VoiceStarted,
        shapes.VoiceStarted(ok=True, streamId=STREAM, profile="vad-triggered"),
        [
            MicBusy,
            ProviderUnavailable,
            SessionLimit,
            ServerDraining,
            *_ALWAYS,
        ],
        _HEARD,
    ),
    "audio": Asked(
        "The next piece of what the microphone hears; 40 ms are a good length. It needs no ack.",
        Audio,
        PLACEHOLDER,
        shapes.Accepted,
        shapes.Accepted(ok=True),
        [ProviderUnavailable, *_ALWAYS],
        _HEARD,
    ),
    "played": Asked(
        "How much of an answer has been heard: about each second, so that history keeps that and "
        "no more where it is interrupted. It needs no ack.",
        Played,
        {"turnId": TURN, "ms": 1_240},
        shapes.Accepted,
        shapes.Accepted(ok=True),
        [ProviderUnavailable, *_ALWAYS],
    ),
    "voice_stop": Asked(
        "Let go of the microphone. What was heard so far ends with its transcript.",
        Nothing,
        {},
        shapes.Accepted,
        shapes.Accepted(ok=True),
        [ProviderUnavailable, *_ALWAYS],
        ["speech_stopped", "final_transcript"],
    ),
    "auth_refresh": Asked(
        "Go on under another token of the same user, before the present one runs out.",
        AuthRefresh,
        {"token": TOKEN},
        shapes.AuthRefreshed,
        shapes.AuthRefreshed(ok=True, expiresAt=LATER),
        [TokenExpired, Unauthenticated, Forbidden, *_ALWAYS],
    ),
    "end_session": Asked(
        "End the session for all its devices. Its history stays.",
        Nothing,
        {},
        shapes.SessionEnded,
        shapes.SessionEnded(ok=True, endedAt=LATER, durationSeconds=312),
        [SessionExpired, *_ALWAYS],
    ),
}
"""Every event that clients may send."""

TOLD: Mapping[str, Told] = {
    "SESSION_CREATED": Told(
        "First of all: a new session stands behind this connection. Also when a message came into "
        "a session that had ended.",
        ("SESSION_CREATED", shapes.SessionCreated(sessionId=SESSION, expiresAt=LATER)),
    ),
    "SESSION_RESTORED": Told(
        "First of all, where `auth.sessionId` was found: the session as it was left.",
        (
            "SESSION_RESTORED",
            shapes.SessionRestored(
                sessionId=SESSION,
                expiresAt=LATER,
                history=[SAID],
                activeTurns=[{"turnId": TURN, "lastSeq": 9}],
            ),
        ),
    ),
    "message_added": Told(
        "Another device of the session said something. Its turn follows.",
        ("message_added", SAID),
    ),
    "assistant_response": Told(
        "The answer to a `user_message`, whole: the one ending of its turn.",
        (
            "assistant_response",
            shapes.AssistantResponse(
                text="Why did the socket never get lonely? It always had a peer.",
                timestamp=NOW,
                messageId=MESSAGE,
                turnId=TURN,
                seq=0,
                reason="completed",
                provider="openai",
                model="gpt-4o-mini",
                usage={"inputTokens": 12, "outputTokens": 14, "totalTokens": 26},
            ),
        ),
    ),
    "stream_start": Told(
        "A streamed answer begins.",
        (
            "stream_start",
            shapes.StreamStart(sessionId=SESSION, turnId=TURN, messageId=MESSAGE, seq=0),
        ),
    ),
    "stream_chunk": Told(
        "The next piece of the answer.",
        ("stream_chunk", shapes.StreamChunk(content="Why did ", index=0, turnId=TURN, seq=1)),
    ),
    "stream_reset": Told(
        "The provider failed in the middle: forget the pieces, another one begins anew.",
        ("stream_reset", shapes.StreamReset(turnId=TURN, seq=7, reason="provider_timeout")),
    ),
    "tool_call": Told(
        "A tool is asked for: in a turn by the model, under the turn's numbers; without a turn by "
        "a client, where a person decides first.",
        (
            "tool_call",
            shapes.ToolCall(
                callId=CALL,
                toolName="get_order_status",
                parameters={"orderId": "ORD-1001"},
                turnId=TURN,
                seq=2,
            ),
        ),
    ),
    "tool_result": Told(
        "What a call came to: of a model's in its turn, of a client's `call_tool` without one.",
        (
            "tool_result",
            shapes.ToolResult(
                callId=CALL,
                toolName="get_order_status",
                success=True,
                status="done",
                result={"orderId": "ORD-1001", "status": "shipped"},
                executionTimeMs=3,
                turnId=TURN,
                seq=3,
            ),
        ),
    ),
    "tool_decided": Told(
        "Somebody decided about a call that waited for a person.",
        ("tool_decided", shapes.ToolDecided(callId=CALL, decision="approve", turnId=TURN)),
    ),
    "stream_end": Told(
        "The one ending of a streamed turn, whatever its reason.",
        (
            "stream_end",
            shapes.StreamEnd(
                sessionId=SESSION,
                turnId=TURN,
                seq=15,
                reason="completed",
                chunks=14,
                provider="openai",
                model="gpt-4o-mini",
            ),
        ),
    ),
    "conversation_history": Told(
        "What `get_history` asked for, oldest first.",
        ("conversation_history", [SAID]),
    ),
    "session_info": Told(
        "What `get_session_info` asked for.",
        (
            "session_info",
            shapes.SessionInfo(
                sessionId=SESSION,
                status="active",
                messageCount=2,
                createdAt="2026-11-21T09:29:12.000Z",
                lastActivityAt="2026-11-21T09:30:00.000Z",
                expiresAt=LATER,
                activeTurns=[],
            ),
        ),
    ),
    "tools_list": Told("What `list_tools` asked for, by name.", ("tools_list", [TOOL])),
    "tool_info": Told("What `get_tool_info` asked for.", ("tool_info", TOOL)),
    "speech_started": Told(
        "Somebody has begun to speak.",
        ("speech_started", shapes.Speech(streamId=STREAM, offsetMs=620, probability=0.93)),
    ),
    "speech_stopped": Told(
        "Somebody has spoken; `final_transcript` follows.",
        ("speech_stopped", shapes.Speech(streamId=STREAM, offsetMs=1_840, probability=0.88)),
    ),
    "wake_word": Told(
        "The wake word was said: what comes then is listened to.",
        ("wake_word", shapes.WakeWordHeard(wakeWord="jarvis", confidence=0.97, timestamp=NOW)),
    ),
    "partial_transcript": Told(
        "What was said so far, whole: it replaces the former one.",
        ("partial_transcript", shapes.Transcript(text="what time", startMs=620, endMs=1_300)),
    ),
    "final_transcript": Told(
        "What was said.",
        (
            "final_transcript",
            shapes.Transcript(
                text="what time is it",
                confidence=0.96,
                language="en",
                startMs=620,
                endMs=1_840,
                turnId=TURN,
            ),
        ),
    ),
    "audio_start": Told(
        "An answer is about to be heard.",
        ("audio_start", shapes.AudioStart(turnId=TURN, audioSeq=0, sampleRate=OUT_RATE)),
    ),
    "audio_chunk": Told(
        "The next frame of an answer's sound. It is sent once: after a reconnect the text is read "
        "on, but not the sound that was missed.",
        (
            "audio_chunk",
            shapes.AudioChunk(
                turnId=TURN,
                audioSeq=1,
                sampleRate=OUT_RATE,
                text="It is half past nine.",
                audio=bytes(1_920),
            ),
        ),
    ),
    "audio_end": Told(
        "That was all of an answer's sound.",
        ("audio_end", shapes.AudioEnd(turnId=TURN, audioSeq=42)),
    ),
    "audio_clear": Told(
        "Somebody speaks, or the turn was cancelled: stop playing it now.",
        ("audio_clear", shapes.AudioClear(turnId=TURN)),
    ),
    "rate_limit": Told(
        "The budget runs low; with `retryAfter`, something was refused for it.",
        (
            "rate_limit",
            shapes.RateLimit(scope="messages", remaining=2, limit=10, resetAt=LATER),
        ),
    ),
    "auth_expiring": Told(
        "A minute before the token of this socket runs out. Ten seconds after, it is closed.",
        ("auth_expiring", shapes.AuthExpiring(expiresAt=LATER)),
    ),
    "session_expired": Told(
        "The session has ended. The next message opens a new one on the same socket.",
        ("session_expired", shapes.SessionExpired(sessionId=SESSION, reason="idle")),
    ),
    "server_draining": Told(
        "The server is about to stop: come back after that time. Running turns go on.",
        ("server_draining", shapes.ServerDraining(reconnectAfterMs=2_400)),
    ),
    "error": Told(
        "A failure that no ack tells of: of an event sent without one, or before the socket is "
        "closed.",
        ("error", ERROR),
    ),
}
"""Every event that clients are sent."""

_CONNECT_REFUSALS = (
    *_ALWAYS,
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

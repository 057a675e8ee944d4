"""The shape of everything clients are sent: checked where it is written, shown in the contracts.

At run time they are plain dicts. Names are those of the wire.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, NotRequired, get_args

from pydantic import Field, WithJsonSchema
from typing_extensions import TypeAliasType, TypedDict

from talksy.errors import TalksyError
from talksy.events import Decision, Reason, ResetReason, Scope, ToolStatus
from talksy.messages import Role
from talksy.tools import Category, Policy


def told(kind: type[TalksyError] = TalksyError) -> Iterator[type[TalksyError]]:
    """Every error that has a code, in the order of their tree."""
    for error in kind.__subclasses__():
        if "code" in vars(error):
            yield error
        yield from told(error)


Code = TypeAliasType(
    "Code",
    Annotated[
        str,
        WithJsonSchema(
            {
                "type": "string",
                "enum": sorted(error.code for error in told()),
                "description": "What went wrong. The same for REST and for sockets.",
            }
        ),
    ],
)

Time = Annotated[
    str,
    Field(
        description="ISO 8601 in UTC, with milliseconds.",
        pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$",
    ),
]
Milliseconds = Annotated[int, Field(description="Milliseconds since the epoch.", ge=0)]
SessionId = Annotated[str, Field(description="The session: `auth.sessionId` brings it back.")]
TurnId = Annotated[str, Field(description="The turn: one answer to one message.")]
MessageId = Annotated[str, Field(description="The message, by the client's own id if it gave one.")]
Seq = Annotated[int, Field(description="Counts the turn's events from 0, without a gap.", ge=0)]
LastSeq = Annotated[int, Field(description="The last `seq` there is, -1 for none.", ge=-1)]
Provider = Annotated[str | None, Field(description="Who answered; null where nobody did.")]
Model = Annotated[str | None, Field(description="The model that answered.")]
Degraded = Annotated[Literal[True], Field(description="The answer came from a fallback.")]
CallId = Annotated[str, Field(description="The call: `tool_result` names it again.")]
ToolName = Annotated[str, Field(description="The tool, as `list_tools` names it.")]
Parameters = Annotated[
    Mapping[str, Any], Field(description="What the tool is called with, as it is checked.")
]
Seconds = Annotated[int, Field(description="Seconds to wait before trying again.", ge=1)]
_OF_TURN = "The turn in which a model asked for it; not there where a client did."
GuestToken = Annotated[
    str, Field(description="For guests: `auth.token` of the next connection, to come back.")
]
StreamId = Annotated[str, Field(description="What is listened to since `voice_start`.")]
Offset = Annotated[int, Field(description="Milliseconds from the start of what is heard.", ge=0)]
Likelihood = Annotated[float, Field(description="0 to 1.", ge=0, le=1)]
AudioSeq = Annotated[int, Field(description="Counts the turn's sound from 0.", ge=0)]
SampleRate = Annotated[int, Field(description="Samples a second: 24,000.")]
Pcm = TypeAliasType(
    "Pcm",
    Annotated[
        bytes,
        WithJsonSchema(
            {
                "contentMediaType": "application/octet-stream",
                "description": "Signed 16-bit little-endian PCM, one channel: the bytes "
                "themselves, as a binary attachment.",
            }
        ),
    ],
)
TurnStatus = Annotated[
    str,
    Field(
        description="`queued`, `running`, or the reason of its ending.",
        json_schema_extra={"enum": ["queued", "running", *get_args(Reason)]},
    ),
]


class FaultyField(TypedDict):
    """One thing that is wrong with what was sent."""

    path: Annotated[str, Field(description="The field, such as `text` or `resume.0.after`.")]
    message: Annotated[str, Field(description="What to change.")]


class Error(TypedDict):
    """What went wrong, and what to change."""

    code: Code
    message: Annotated[str, Field(description="For people: what to change.", min_length=1)]
    requestId: NotRequired[Annotated[str, Field(description="The server's log has it, too.")]]
    turnId: NotRequired[TurnId]
    errors: NotRequired[Annotated[list[FaultyField], Field(description="At most 20 faults.")]]
    retryAfter: NotRequired[Seconds]


class Problem(TypedDict):
    """An error as a problem document (RFC 9457)."""

    type: Annotated[str, Field(description="A URN made of the code.", pattern="^urn:talksy:error:")]
    title: Annotated[str, Field(description="The same for every problem of a type.")]
    status: Annotated[int, Field(description="The HTTP status.", ge=400, le=599)]
    code: Code
    message: Annotated[str, Field(description="For people: what to change.", min_length=1)]
    detail: Annotated[str, Field(description="The message, under RFC 9457's name.", min_length=1)]
    requestId: Annotated[str, Field(description="The server's log has it, too.")]
    errors: NotRequired[Annotated[list[FaultyField], Field(description="At most 20 faults.")]]
    retryAfter: NotRequired[Seconds]


# ---- words


class Message(TypedDict):
    """One message of a conversation, as history keeps it."""

    id: MessageId
    role: Role
    content: str
    timestamp: Milliseconds
    turnId: Annotated[str | None, Field(description="The turn it asked for, or answers.")]
    interrupted: NotRequired[
        Annotated[Literal[True], Field(description="The answer was cut short; this much was said.")]
    ]


class ActiveTurn(TypedDict):
    """A turn that has not ended: it runs, or it waits."""

    turnId: TurnId
    lastSeq: LastSeq
    pending: NotRequired[
        Annotated[
            list[CallId],
            Field(description="The calls that wait for a person: send `tool_decision`."),
        ]
    ]


class Usage(TypedDict):
    """Tokens, as the provider counts them."""

    inputTokens: int
    outputTokens: int
    totalTokens: int


# ---- what a turn gives, under its numbers


class StreamStart(TypedDict):
    """A streamed answer begins."""

    sessionId: SessionId
    turnId: TurnId
    messageId: MessageId
    seq: Seq


class StreamChunk(TypedDict):
    """A piece of the answer: put it behind what you have."""

    content: Annotated[str, Field(min_length=1)]
    index: Annotated[int, Field(description="Counts the chunks from 0.", ge=0)]
    turnId: TurnId
    seq: Seq


class StreamReset(TypedDict):
    """What came so far is void: the answer begins again, `index` at 0, while `seq` goes on."""

    turnId: TurnId
    seq: Seq
    reason: Annotated[ResetReason, Field(description="What the former provider failed of.")]


class _Ending(TypedDict):
    turnId: TurnId
    seq: Seq
    reason: Reason
    provider: Provider
    model: Model
    degraded: NotRequired[Degraded]
    nextTurnId: NotRequired[
        Annotated[
            TurnId,
            Field(description="The turn in which your message is tried again by itself."),
        ]
    ]
    error: NotRequired[Error]
    usage: NotRequired[Usage]


class VoiceMetrics(TypedDict, total=False):
    """How long what took on the way to a spoken answer, in milliseconds."""

    endpointMs: Annotated[int, Field(description="From the last word to knowing it for the last.")]
    sttMs: Annotated[int, Field(description="From there to the final transcript.")]
    firstTokenMs: Annotated[int, Field(description="From there to the first token.")]
    firstAudioMs: Annotated[int, Field(description="From the transcript to the first sound.")]
    mouthToEarMs: Annotated[int, Field(description="From the last word to the first sound.")]


class StreamEnd(_Ending):
    """The one ending of a streamed turn. Nothing follows."""

    sessionId: SessionId
    chunks: Annotated[int, Field(description="How many chunks the answer had.", ge=0)]
    text: NotRequired[
        Annotated[
            str,
            Field(
                description="The whole answer as history keeps it: it replaces what you show. Left "
                "out where you were given every chunk, or where the database cannot be reached."
            ),
        ]
    ]
    metrics: NotRequired[Annotated[VoiceMetrics, Field(description="Of what was spoken.")]]


class AssistantResponse(_Ending):
    """The whole answer to a `user_message`: the one ending of its turn."""

    text: str
    timestamp: Milliseconds
    messageId: MessageId


class ToolCall(TypedDict):
    """A tool is asked for. `tool_result` of the same call follows."""

    callId: CallId
    toolName: ToolName
    parameters: Parameters
    needsApproval: NotRequired[
        Annotated[
            Literal[True],
            Field(description="A person decides first, about exactly these parameters."),
        ]
    ]
    expiresAt: NotRequired[
        Annotated[Time, Field(description="Until when somebody may decide; then it is refused.")]
    ]
    turnId: NotRequired[Annotated[str, Field(description=_OF_TURN)]]
    seq: NotRequired[Seq]


class ToolResult(TypedDict):
    """A call of a tool is over, however it ended."""

    callId: CallId
    toolName: ToolName
    success: Annotated[bool, Field(description="Whether the status is `done`.")]
    status: Annotated[
        ToolStatus,
        Field(
            description="`denied` and `expired`: it did not run. `unknown`: it may have run, and "
            "the server died before it could say so."
        ),
    ]
    result: NotRequired[Annotated[Any, Field(description="What it returned, where it is `done`.")]]
    error: NotRequired[Annotated[Error, Field(description="Why not, in all other cases.")]]
    executionTimeMs: Annotated[int, Field(description="Without the time it waited.", ge=0)]
    turnId: NotRequired[Annotated[str, Field(description=_OF_TURN)]]
    seq: NotRequired[Seq]


class ToolDecided(TypedDict):
    """Somebody decided about a call that waited for a person."""

    callId: CallId
    decision: Decision
    turnId: NotRequired[Annotated[str, Field(description=_OF_TURN)]]


# ---- what happens beside the turns


class SessionCreated(TypedDict):
    """A new session stands behind this connection."""

    sessionId: SessionId
    expiresAt: Time
    guestToken: NotRequired[GuestToken]
    restoreFailed: NotRequired[
        Annotated[
            Literal["expired", "not_found"],
            Field(description="Why the session that was asked for is not this one."),
        ]
    ]


class SessionRestored(TypedDict):
    """The session that was asked for stands behind this connection, as it was left."""

    sessionId: SessionId
    expiresAt: Time
    history: Annotated[list[Message], Field(description="The newest messages, oldest first.")]
    activeTurns: list[ActiveTurn]
    guestToken: NotRequired[GuestToken]


class SessionExpired(TypedDict):
    """The session has ended: its next message opens a new one on the same socket."""

    sessionId: SessionId
    reason: Literal["idle", "age", "ended"]


class SessionInfo(TypedDict):
    """The session, and what goes on in it."""

    sessionId: SessionId
    status: Literal["active"]
    messageCount: Annotated[int, Field(ge=0)]
    createdAt: Time
    lastActivityAt: Time
    expiresAt: Time
    activeTurns: list[ActiveTurn]


class ToolDefinition(TypedDict):
    """A tool that may be called, by a model or by a client."""

    name: ToolName
    description: str
    category: Category
    version: str
    parameters: Annotated[
        Mapping[str, Any], Field(description="The JSON Schema of what it is called with.")
    ]
    timeoutMs: Annotated[int, Field(description="A call that takes longer fails.", ge=1)]
    policy: Annotated[
        Policy, Field(description="`ask`: a person approves a call first, or some of them.")
    ]
    sandboxed: Annotated[bool, Field(description="It runs apart from the server.")]
    deprecated: NotRequired[Annotated[str, Field(description="Why to use it no more.")]]


class RateLimit(TypedDict):
    """The budget runs low; with `retryAfter`, something was refused for it."""

    scope: Annotated[Scope, Field(description="What is counted.")]
    remaining: Annotated[int, Field(ge=0)]
    limit: Annotated[int, Field(ge=0)]
    resetAt: Time
    retryAfter: NotRequired[Seconds]


class AuthExpiring(TypedDict):
    """The token of this socket runs out: send `auth_refresh` with another one."""

    expiresAt: Time
    guestToken: NotRequired[
        Annotated[str, Field(description="For guests: the other one, to come back with.")]
    ]


class ServerDraining(TypedDict):
    """The server is about to stop: reconnect after that time. What runs goes on there."""

    reconnectAfterMs: Annotated[int, Field(ge=0)]


# ---- of voice


class Speech(TypedDict):
    """Somebody has begun to speak, or has spoken."""

    streamId: StreamId
    offsetMs: Offset
    probability: Likelihood


class WakeWordHeard(TypedDict):
    """The wake word was said: what is said from here on is listened to."""

    wakeWord: str
    confidence: Likelihood
    timestamp: Milliseconds


class Transcript(TypedDict):
    """What was said. Of a partial one: so far, whole, in place of the former one."""

    text: str
    confidence: NotRequired[Likelihood]
    language: NotRequired[str]
    startMs: Offset
    endMs: Offset
    turnId: NotRequired[Annotated[str, Field(description="The turn that answers it.")]]


class AudioStart(TypedDict):
    """An answer is about to be heard."""

    turnId: TurnId
    audioSeq: AudioSeq
    sampleRate: SampleRate


class AudioChunk(AudioStart):
    """The next frame of it."""

    text: NotRequired[
        Annotated[str, Field(description="What is said from here on, once for each piece.")]
    ]
    audio: Pcm


class AudioEnd(TypedDict):
    """That was all of it."""

    turnId: TurnId
    audioSeq: AudioSeq


class AudioClear(TypedDict):
    """Stop playing this turn now: what is buffered of it is void."""

    turnId: TurnId


# ---- acknowledgements


class Accepted(TypedDict):
    """It was done."""

    ok: Literal[True]


class MessageAccepted(Accepted):
    """The message is stored, and its turn runs or waits."""

    messageId: MessageId
    turnId: TurnId
    queued: NotRequired[Annotated[Literal[True], Field(description="Another turn runs first.")]]
    duplicate: NotRequired[
        Annotated[Literal[True], Field(description="It was said before: nothing was started.")]
    ]


class TurnCancelled(Accepted):
    """Where the turn stands. One that had ended before keeps its ending."""

    turnId: TurnId
    status: TurnStatus


class TurnResumed(Accepted):
    """Where the turn stands. What was missed follows."""

    status: TurnStatus
    firstSeq: Seq
    lastSeq: LastSeq
    already: NotRequired[
        Annotated[Literal[True], Field(description="It is sent to this socket already.")]
    ]


class ToolCallAccepted(Accepted):
    """The call runs, or waits for a person. `tool_result` follows."""

    callId: CallId


class ToolDecisionTaken(Accepted):
    """What counts for the call."""

    decision: Decision
    already: NotRequired[
        Annotated[Literal[True], Field(description="Somebody had decided before: that counts.")]
    ]


class AuthRefreshed(Accepted):
    """The socket goes on under the new token."""

    expiresAt: Time


class SessionEnded(Accepted):
    """The session is over, for all its devices."""

    endedAt: Time
    durationSeconds: Annotated[int, Field(ge=0)]


class VoiceStarted(Accepted):
    """It is listened to."""

    streamId: StreamId
    profile: Annotated[str, Field(description="The profile that counts.")]
    autoStart: Annotated[
        bool, Field(description="Whether the profile has clients listen as soon as they come.")
    ]


class Refused(TypedDict):
    """It was not done. Without an acknowledgement the `error` comes as an event."""

    ok: Literal[False]
    error: Error


Ack = (
    Accepted
    | MessageAccepted
    | TurnCancelled
    | TurnResumed
    | ToolCallAccepted
    | ToolDecisionTaken
    | AuthRefreshed
    | SessionEnded
    | VoiceStarted
    | Refused
)


# ---- the namespace


class Connected(TypedDict):
    """The client is in. `SESSION_CREATED` or `SESSION_RESTORED` follows."""

    sid: Annotated[str, Field(description="The socket's id; nothing of ours is known by it.")]


class ConnectError(TypedDict):
    """The client is not let in."""

    message: str
    data: Error


TurnEvent = (
    tuple[Literal["stream_start"], StreamStart]
    | tuple[Literal["stream_chunk"], StreamChunk]
    | tuple[Literal["stream_reset"], StreamReset]
    | tuple[Literal["tool_call"], ToolCall]
    | tuple[Literal["tool_result"], ToolResult]
    | tuple[Literal["stream_end"], StreamEnd]
    | tuple[Literal["assistant_response"], AssistantResponse]
)
"""A numbered event of a turn, with its name."""

ServerEvent = (
    TurnEvent
    | tuple[Literal["SESSION_CREATED"], SessionCreated]
    | tuple[Literal["SESSION_RESTORED"], SessionRestored]
    | tuple[Literal["session_expired"], SessionExpired]
    | tuple[Literal["session_info"], SessionInfo]
    | tuple[Literal["message_added"], Message]
    | tuple[Literal["conversation_history"], list[Message]]
    | tuple[Literal["tool_decided"], ToolDecided]
    | tuple[Literal["tools_list"], list[ToolDefinition]]
    | tuple[Literal["tool_info"], ToolDefinition]
    | tuple[Literal["rate_limit"], RateLimit]
    | tuple[Literal["auth_expiring"], AuthExpiring]
    | tuple[Literal["server_draining"], ServerDraining]
    | tuple[Literal["error"], Error]
    | tuple[Literal["speech_started"], Speech]
    | tuple[Literal["speech_stopped"], Speech]
    | tuple[Literal["wake_word"], WakeWordHeard]
    | tuple[Literal["partial_transcript"], Transcript]
    | tuple[Literal["final_transcript"], Transcript]
    | tuple[Literal["audio_start"], AudioStart]
    | tuple[Literal["audio_chunk"], AudioChunk]
    | tuple[Literal["audio_end"], AudioEnd]
    | tuple[Literal["audio_clear"], AudioClear]
)
"""Everything that can be sent, with its name: there is no other way out of a socket."""

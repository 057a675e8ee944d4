"""What is said, and the answers to it."""

from collections.abc import Mapping

from talksy.errors import (
    IdempotencyConflict,
    PayloadTooLarge,
    ServerDraining,
    SessionExpired,
    SessionLimit,
    TurnInProgress,
    TurnNotFound,
    TurnQueueFull,
)
from talksy.transports import shapes
from talksy.transports.socketio.contract.entry import (
    ALWAYS,
    MESSAGE,
    NOW,
    SAID,
    SESSION,
    TURN,
    Asked,
    Told,
)
from talksy.transports.socketio.payloads import Cancel, ResumeTurn, StreamedMessage, UserMessage

_REFUSALS = (
    PayloadTooLarge,
    IdempotencyConflict,
    TurnInProgress,
    TurnQueueFull,
    SessionLimit,
    ServerDraining,
    *ALWAYS,
)
_ACCEPTED = shapes.MessageAccepted(ok=True, messageId=MESSAGE, turnId=TURN)

ASKED: Mapping[str, Asked] = {
    "user_message": Asked(
        "Say something, and get the whole answer at once.",
        UserMessage,
        {"text": "Tell me a joke"},
        shapes.MessageAccepted,
        _ACCEPTED,
        _REFUSALS,
        ["tool_call", "tool_result", "assistant_response"],
    ),
    "user_message_stream": Asked(
        "Say something, and get the answer as it comes. Sent again under the same `messageId`, "
        "after a reconnect, it starts nothing and gives the first ack.",
        StreamedMessage,
        {"text": "Tell me a joke", "messageId": "8e0a6c1e-joke", "onBusy": "queue"},
        shapes.MessageAccepted,
        _ACCEPTED,
        _REFUSALS,
        ["stream_start", "stream_chunk", "stream_reset", "tool_call", "tool_result", "stream_end"],
    ),
    "resume": Asked(
        "Go on with a turn behind the last number seen: what was missed follows, then the rest.",
        ResumeTurn,
        {"turnId": TURN, "after": 4},
        shapes.TurnResumed,
        shapes.TurnResumed(ok=True, status="running", firstSeq=0, lastSeq=9),
        [TurnNotFound, SessionExpired, *ALWAYS],
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
        [TurnNotFound, SessionExpired, *ALWAYS],
    ),
}

TOLD: Mapping[str, Told] = {
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
}

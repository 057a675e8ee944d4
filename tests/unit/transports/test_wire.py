"""Words as clients read them: the names and fields of the contract."""

import pytest

from talksy.events import (
    Active,
    AuthExpiring,
    Chunk,
    Draining,
    Ending,
    Fault,
    Limited,
    MessageAdded,
    Notice,
    SessionCreated,
    SessionOver,
    SessionRestored,
    Sound,
    SoundBegan,
    SoundEnded,
    SoundVoid,
    SpeechBegan,
    SpeechEnded,
    Started,
    ToolAsked,
    ToolDecided,
    ToolDone,
    Transcribed,
    Woken,
)
from talksy.journal import Mirror
from talksy.messages import Message, Usage
from talksy.tools import ToolDefinition
from talksy.transports import wire
from tests.unit.journal.turns import turn

NOW = 1_700_000_000_000
SAID = Message("msg_1", "user", "hi", NOW, "trn_1")
CUT = Message("msg_2", "assistant", "hel", NOW, "trn_1", interrupted=True)


def test_times_are_iso_in_utc_with_milliseconds() -> None:
    assert wire.iso(NOW) == "2023-11-14T22:13:20.000Z"
    assert wire.iso(NOW + 7) == "2023-11-14T22:13:20.007Z"


def test_a_message() -> None:
    assert wire.message(SAID) == {
        "id": "msg_1",
        "role": "user",
        "content": "hi",
        "timestamp": NOW,
        "turnId": "trn_1",
    }
    assert wire.message(CUT)["interrupted"] is True


def test_a_streamed_turn() -> None:
    mirror = Mirror(turn())
    assert wire.numbered(mirror, 0, Started("msg_1")) == (
        "stream_start",
        {"sessionId": "ses_1", "turnId": "trn_1", "messageId": "msg_1", "seq": 0},
    )
    assert wire.numbered(mirror, 1, Chunk("hel", 0)) == (
        "stream_chunk",
        {"content": "hel", "index": 0, "turnId": "trn_1", "seq": 1},
    )
    ending = Ending("completed", None, chunks=1, provider="p", model="m")
    assert wire.numbered(mirror, 2, ending) == (
        "stream_end",
        {
            "sessionId": "ses_1",
            "turnId": "trn_1",
            "seq": 2,
            "reason": "completed",
            "chunks": 1,
            "provider": "p",
            "model": "m",
        },
    )


def test_the_tools_of_a_turn_have_its_numbers() -> None:
    mirror = Mirror(turn())
    asked, called = wire.numbered(mirror, 1, ToolAsked("call_1", "clock", {"zone": "UTC"}))
    done, result = wire.numbered(mirror, 2, ToolDone("call_1", "clock", "done", None, ms=7))
    assert (asked, called) == (
        "tool_call",
        {
            "callId": "call_1",
            "toolName": "clock",
            "parameters": {"zone": "UTC"},
            "turnId": "trn_1",
            "seq": 1,
        },
    )
    assert (done, result) == (
        "tool_result",
        {
            "callId": "call_1",
            "toolName": "clock",
            "success": True,
            "status": "done",
            "result": None,
            "executionTimeMs": 7,
            "turnId": "trn_1",
            "seq": 2,
        },
    )


def test_a_tool() -> None:
    assert wire.tool(ToolDefinition("clock", "The time.", {"type": "object"}), 30_000) == {
        "name": "clock",
        "description": "The time.",
        "category": "custom",
        "version": "1.0.0",
        "parameters": {"type": "object"},
        "timeoutMs": 30_000,
        "policy": "auto",
        "sandboxed": False,
    }
    old = ToolDefinition("old", "It was.", {}, timeout_ms=5, deprecated="use clock")
    assert wire.tool(old, 30_000)["timeoutMs"] == 5
    assert wire.tool(old, 30_000)["deprecated"] == "use clock"


def test_an_ending_tells_what_it_knows() -> None:
    ending = Ending(
        "failed", "hel", 1, "p", "m", Usage(3, 4), {"code": "X", "message": "y"}, True, NOW
    )
    payload = dict(wire.numbered(Mirror(turn()), 2, ending)[1])
    assert payload["text"] == "hel"
    assert payload["error"] == {"code": "X", "message": "y"}
    assert payload["usage"] == {"inputTokens": 3, "outputTokens": 4, "totalTokens": 7}
    assert payload["degraded"] is True


def test_the_ending_of_a_spoken_answer_tells_how_long_what_took() -> None:
    ending = Ending("interrupted", "It is", metrics={"sttMs": 43, "mouthToEarMs": 470})
    payload = dict(wire.numbered(Mirror(turn()), 2, ending)[1])
    assert payload["metrics"] == {"sttMs": 43, "mouthToEarMs": 470}


@pytest.mark.parametrize("text", ["hello", "", None])
def test_a_plain_turn(text: str | None) -> None:
    mirror = Mirror(turn(streamed=False))
    ending = Ending("completed", text, provider="p", model="m", ended_at=NOW)
    assert wire.numbered(mirror, 0, ending) == (
        "assistant_response",
        {
            "turnId": "trn_1",
            "seq": 0,
            "reason": "completed",
            "provider": "p",
            "model": "m",
            "text": text or "",
            "timestamp": NOW,
            "messageId": "msg_1",
        },
    )


ISO = "2023-11-14T22:13:20.000Z"
NOTICES = [
    (SessionCreated("ses_1", NOW), "SESSION_CREATED", {"sessionId": "ses_1", "expiresAt": ISO}),
    (
        SessionCreated("ses_1", NOW, "expired"),
        "SESSION_CREATED",
        {"sessionId": "ses_1", "expiresAt": ISO, "restoreFailed": "expired"},
    ),
    (
        SessionCreated("ses_1", NOW, guest_token="a.b.c"),
        "SESSION_CREATED",
        {"sessionId": "ses_1", "expiresAt": ISO, "guestToken": "a.b.c"},
    ),
    (
        SessionRestored("ses_1", NOW, [SAID], [Active("trn_1", 4), Active("t", 1, ("call_1",))]),
        "SESSION_RESTORED",
        {
            "sessionId": "ses_1",
            "expiresAt": ISO,
            "history": [wire.message(SAID)],
            "activeTurns": [
                {"turnId": "trn_1", "lastSeq": 4},
                {"turnId": "t", "lastSeq": 1, "pending": ["call_1"]},
            ],
        },
    ),
    (
        SessionOver("ses_1", "idle"),
        "session_expired",
        {"sessionId": "ses_1", "reason": "idle"},
    ),
    (MessageAdded(SAID), "message_added", wire.message(SAID)),
    (
        Limited("messages", 10, 2, NOW),
        "rate_limit",
        {"scope": "messages", "remaining": 2, "resetAt": ISO, "limit": 10},
    ),
    (
        Limited("reads", 10, 0, NOW, retry_after=1.2),
        "rate_limit",
        {"scope": "reads", "remaining": 0, "resetAt": ISO, "limit": 10, "retryAfter": 2},
    ),
    (
        Limited("connects", 10, 0, NOW, retry_after=0.0),
        "rate_limit",
        {"scope": "connects", "remaining": 0, "resetAt": ISO, "limit": 10, "retryAfter": 1},
    ),
    (
        ToolAsked("call_1", "pay", {"sum": 5}, NOW),
        "tool_call",
        {
            "callId": "call_1",
            "toolName": "pay",
            "parameters": {"sum": 5},
            "needsApproval": True,
            "expiresAt": ISO,
        },
    ),
    (
        ToolDone("call_1", "pay", "denied", error={"code": "X", "message": "y"}),
        "tool_result",
        {
            "callId": "call_1",
            "toolName": "pay",
            "success": False,
            "status": "denied",
            "error": {"code": "X", "message": "y"},
            "executionTimeMs": 0,
        },
    ),
    (
        ToolDecided("call_1", "approve"),
        "tool_decided",
        {"callId": "call_1", "decision": "approve"},
    ),
    (
        ToolDecided("call_1", "deny", "trn_1"),
        "tool_decided",
        {"callId": "call_1", "decision": "deny", "turnId": "trn_1"},
    ),
    (AuthExpiring(NOW), "auth_expiring", {"expiresAt": ISO}),
    (
        AuthExpiring(NOW, "a.b.c"),
        "auth_expiring",
        {"expiresAt": ISO, "guestToken": "a.b.c"},
    ),
    (Draining(250), "server_draining", {"reconnectAfterMs": 250}),
    (Fault({"code": "X", "message": "y"}), "error", {"code": "X", "message": "y"}),
    (
        SpeechBegan("voi_1", 620, 0.5),
        "speech_started",
        {"streamId": "voi_1", "offsetMs": 620, "probability": 0.5},
    ),
    (
        SpeechEnded("voi_1", 1_840, 0.25),
        "speech_stopped",
        {"streamId": "voi_1", "offsetMs": 1_840, "probability": 0.25},
    ),
    (
        Woken("jarvis", 0.75, NOW),
        "wake_word",
        {"wakeWord": "jarvis", "confidence": 0.75, "timestamp": NOW},
    ),
    (
        Transcribed("what", final=False, start_ms=620, end_ms=900),
        "partial_transcript",
        {"text": "what", "startMs": 620, "endMs": 900},
    ),
    (
        Transcribed("what?", True, 620, 1_840, 0.5, "en", "trn_1"),
        "final_transcript",
        {
            "text": "what?",
            "startMs": 620,
            "endMs": 1_840,
            "confidence": 0.5,
            "language": "en",
            "turnId": "trn_1",
        },
    ),
    (
        SoundBegan("trn_1", 0),
        "audio_start",
        {"turnId": "trn_1", "audioSeq": 0, "sampleRate": 24_000},
    ),
    (
        Sound("trn_1", 1, b"\0\1", "It is noon."),
        "audio_chunk",
        {
            "turnId": "trn_1",
            "audioSeq": 1,
            "sampleRate": 24_000,
            "text": "It is noon.",
            "audio": b"\0\1",
        },
    ),
    (
        Sound("trn_1", 2, b""),
        "audio_chunk",
        {"turnId": "trn_1", "audioSeq": 2, "sampleRate": 24_000, "audio": b""},
    ),
    (SoundEnded("trn_1", 3), "audio_end", {"turnId": "trn_1", "audioSeq": 3}),
    (SoundVoid("trn_1"), "audio_clear", {"turnId": "trn_1"}),
]


@pytest.mark.parametrize(
    ("notice", "name", "payload"), NOTICES, ids=[name for _, name, _ in NOTICES]
)
def test_what_happens_beside_the_turns(
    notice: Notice, name: str, payload: dict[str, object]
) -> None:
    assert wire.notice(notice) == (name, payload)

"""Words as clients read them: the name and the JSON payload of each, the same on every wire."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, assert_never, cast

from talksy.audio import OUT_RATE
from talksy.errors import whole_seconds
from talksy.events import (
    Active,
    AuthExpiring,
    Chunk,
    Draining,
    Ending,
    Event,
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
    StreamReset,
    ToolAsked,
    ToolDecided,
    ToolDone,
    Transcribed,
    Woken,
)
from talksy.journal import Mirror
from talksy.messages import Message, Usage
from talksy.tools import ToolDefinition
from talksy.transports import shapes

Voiced = (
    SpeechBegan | SpeechEnded | Woken | Transcribed | SoundBegan | Sound | SoundEnded | SoundVoid
)


def iso(milliseconds: int) -> str:
    """ISO 8601 in UTC of milliseconds since the epoch, such as ``2026-11-21T09:30:00.000Z``."""
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def message(words: Message) -> shapes.Message:
    """A message as history shows it."""
    payload: shapes.Message = {
        "id": words.id,
        "role": words.role,
        "content": words.content,
        "timestamp": words.created_at,
        "turnId": words.turn_id,
    }
    if words.interrupted:
        payload["interrupted"] = True
    return payload


def active(turns: Sequence[Active]) -> list[shapes.ActiveTurn]:
    """The turns of a session that have not ended."""
    return [_active(turn) for turn in turns]


def _active(turn: Active) -> shapes.ActiveTurn:
    payload: shapes.ActiveTurn = {"turnId": turn.turn_id, "lastSeq": turn.last_seq}
    if turn.pending:
        payload["pending"] = [*turn.pending]
    return payload


def numbered(mirror: Mirror, seq: int, event: Event | Ending) -> shapes.TurnEvent:
    """A turn's event under its number."""
    match event:
        case Chunk(content, index):
            chunk: shapes.StreamChunk = {
                "content": content,
                "index": index,
                "turnId": mirror.turn_id,
                "seq": seq,
            }
            return "stream_chunk", chunk
        case StreamReset(reason):
            reset: shapes.StreamReset = {"turnId": mirror.turn_id, "seq": seq, "reason": reason}
            return "stream_reset", reset
        case Started(message_id):
            start: shapes.StreamStart = {
                "sessionId": mirror.session_id,
                "turnId": mirror.turn_id,
                "messageId": message_id,
                "seq": seq,
            }
            return "stream_start", start
        case ToolAsked():
            return "tool_call", _asked(event, mirror, seq)
        case ToolDone():
            return "tool_result", _done(event, mirror, seq)
        case Ending():
            return _streamed(mirror, seq, event) if mirror.streamed else _plain(mirror, seq, event)
        case _:
            assert_never(event)


def _asked(event: ToolAsked, mirror: Mirror | None = None, seq: int = 0) -> shapes.ToolCall:
    payload: shapes.ToolCall = {
        "callId": event.call_id,
        "toolName": event.name,
        "parameters": event.arguments,
    }
    if event.expires_at is not None:
        payload["needsApproval"] = True
        payload["expiresAt"] = iso(event.expires_at)
    if mirror is not None:
        payload["turnId"] = mirror.turn_id
        payload["seq"] = seq
    return payload


def _done(event: ToolDone, mirror: Mirror | None = None, seq: int = 0) -> shapes.ToolResult:
    payload: shapes.ToolResult = {
        "callId": event.call_id,
        "toolName": event.name,
        "success": event.status == "done",
        "status": event.status,
        "executionTimeMs": event.ms,
    }
    if event.error is not None:
        payload["error"] = fault(event.error)
    else:
        payload["result"] = event.result
    if mirror is not None:
        payload["turnId"] = mirror.turn_id
        payload["seq"] = seq
    return payload


def _streamed(
    mirror: Mirror, seq: int, ending: Ending
) -> tuple[Literal["stream_end"], shapes.StreamEnd]:
    payload: shapes.StreamEnd = {
        "sessionId": mirror.session_id,
        "turnId": mirror.turn_id,
        "seq": seq,
        "reason": ending.reason,
        "chunks": ending.chunks,
        "provider": ending.provider,
        "model": ending.model,
    }
    if ending.text is not None:
        payload["text"] = ending.text
    if ending.metrics is not None:
        payload["metrics"] = cast("shapes.VoiceMetrics", dict(ending.metrics))
    _complete(payload, ending)
    return "stream_end", payload


def _plain(
    mirror: Mirror, seq: int, ending: Ending
) -> tuple[Literal["assistant_response"], shapes.AssistantResponse]:
    payload: shapes.AssistantResponse = {
        "text": ending.text or "",
        "timestamp": ending.ended_at,
        "messageId": mirror.message_id,
        "turnId": mirror.turn_id,
        "seq": seq,
        "reason": ending.reason,
        "provider": ending.provider,
        "model": ending.model,
    }
    _complete(payload, ending)
    return "assistant_response", payload


def _complete(payload: shapes.StreamEnd | shapes.AssistantResponse, ending: Ending) -> None:
    """What not every ending has."""
    if ending.error is not None:
        payload["error"] = fault(ending.error)
    if ending.usage is not None:
        payload["usage"] = _usage(ending.usage)
    if ending.degraded:
        payload["degraded"] = True
    if ending.next_turn_id is not None:
        payload["nextTurnId"] = ending.next_turn_id


def tool(definition: ToolDefinition, usual_ms: int) -> shapes.ToolDefinition:
    """A tool; ``usual_ms`` is the time of those that do not say how long a call may take."""
    payload: shapes.ToolDefinition = {
        "name": definition.name,
        "description": definition.description,
        "category": definition.category,
        "version": definition.version,
        "parameters": definition.parameters,
        "timeoutMs": definition.timeout_ms or usual_ms,
        "policy": definition.policy,
        "sandboxed": definition.sandboxed,
    }
    if definition.deprecated is not None:
        payload["deprecated"] = definition.deprecated
    return payload


def fault(error: Mapping[str, Any]) -> shapes.Error:
    """An error, which ``TalksyError.payload`` made; one that was stored comes back as a mapping."""
    return cast("shapes.Error", dict(error))


def _usage(usage: Usage) -> shapes.Usage:
    return {
        "inputTokens": usage.input_tokens,
        "outputTokens": usage.output_tokens,
        "totalTokens": usage.input_tokens + usage.output_tokens,
    }


def notice(words: Notice) -> shapes.ServerEvent:
    """What happens beside the turns."""
    match words:
        case SessionCreated():
            return "SESSION_CREATED", _created(words)
        case SessionRestored():
            return "SESSION_RESTORED", _restored(words)
        case SessionOver(session_id, reason):
            over: shapes.SessionExpired = {"sessionId": session_id, "reason": reason}
            return "session_expired", over
        case MessageAdded(added):
            return "message_added", message(added)
        case ToolAsked():
            return "tool_call", _asked(words)
        case ToolDecided():
            return "tool_decided", _decided(words)
        case ToolDone():
            return "tool_result", _done(words)
        case Limited():
            return "rate_limit", _limited(words)
        case AuthExpiring():
            return "auth_expiring", _expiring(words)
        case Draining(reconnect_after_ms):
            draining: shapes.ServerDraining = {"reconnectAfterMs": reconnect_after_ms}
            return "server_draining", draining
        case Fault(error):
            return "error", fault(error)
        case _:
            return _of_voice(words)


def _of_voice(words: Voiced) -> shapes.ServerEvent:
    match words:
        case SpeechBegan():
            return "speech_started", _speech(words)
        case SpeechEnded():
            return "speech_stopped", _speech(words)
        case Woken(wake_word, confidence, timestamp):
            woken: shapes.WakeWordHeard = {
                "wakeWord": wake_word,
                "confidence": confidence,
                "timestamp": timestamp,
            }
            return "wake_word", woken
        case Transcribed(final=True):
            return "final_transcript", _transcript(words)
        case Transcribed():
            return "partial_transcript", _transcript(words)
        case SoundBegan(turn_id, audio_seq):
            start: shapes.AudioStart = {
                "turnId": turn_id,
                "audioSeq": audio_seq,
                "sampleRate": OUT_RATE,
            }
            return "audio_start", start
        case Sound():
            return "audio_chunk", _sound(words)
        case SoundEnded(turn_id, audio_seq):
            end: shapes.AudioEnd = {"turnId": turn_id, "audioSeq": audio_seq}
            return "audio_end", end
        case SoundVoid(turn_id):
            clear: shapes.AudioClear = {"turnId": turn_id}
            return "audio_clear", clear
        case _:
            assert_never(words)


def _sound(words: Sound) -> shapes.AudioChunk:
    payload: shapes.AudioChunk = {
        "turnId": words.turn_id,
        "audioSeq": words.audio_seq,
        "sampleRate": OUT_RATE,
        "audio": words.pcm,
    }
    if words.text is not None:
        payload["text"] = words.text
    return payload


def _speech(words: SpeechBegan | SpeechEnded) -> shapes.Speech:
    return {
        "streamId": words.stream_id,
        "offsetMs": words.offset_ms,
        "probability": words.probability,
    }


def _transcript(words: Transcribed) -> shapes.Transcript:
    payload: shapes.Transcript = {
        "text": words.text,
        "startMs": words.start_ms,
        "endMs": words.end_ms,
    }
    if words.confidence is not None:
        payload["confidence"] = words.confidence
    if words.language is not None:
        payload["language"] = words.language
    if words.turn_id is not None:
        payload["turnId"] = words.turn_id
    return payload


def _created(words: SessionCreated) -> shapes.SessionCreated:
    payload: shapes.SessionCreated = {
        "sessionId": words.session_id,
        "expiresAt": iso(words.expires_at),
    }
    if words.restore_failed is not None:
        payload["restoreFailed"] = words.restore_failed
    if words.guest_token is not None:
        payload["guestToken"] = words.guest_token
    return payload


def _restored(words: SessionRestored) -> shapes.SessionRestored:
    payload: shapes.SessionRestored = {
        "sessionId": words.session_id,
        "history": [message(item) for item in words.history],
        "expiresAt": iso(words.expires_at),
        "activeTurns": active(words.active),
    }
    if words.guest_token is not None:
        payload["guestToken"] = words.guest_token
    return payload


def _decided(words: ToolDecided) -> shapes.ToolDecided:
    payload: shapes.ToolDecided = {"callId": words.call_id, "decision": words.decision}
    if words.turn_id is not None:
        payload["turnId"] = words.turn_id
    return payload


def _expiring(words: AuthExpiring) -> shapes.AuthExpiring:
    payload: shapes.AuthExpiring = {"expiresAt": iso(words.expires_at)}
    if words.guest_token is not None:
        payload["guestToken"] = words.guest_token
    return payload


def _limited(words: Limited) -> shapes.RateLimit:
    payload: shapes.RateLimit = {
        "scope": words.scope,
        "remaining": words.remaining,
        "resetAt": iso(words.reset_at),
        "limit": words.limit,
    }
    if words.retry_after is not None:
        payload["retryAfter"] = whole_seconds(words.retry_after)
    return payload

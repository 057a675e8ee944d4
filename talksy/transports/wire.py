"""Words as clients read them: the name and the JSON payload of each, the same on every wire."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, assert_never

from talksy.errors import whole_seconds
from talksy.events import (
    Active,
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
    Started,
)
from talksy.journal import Mirror
from talksy.messages import Message, Usage


def iso(milliseconds: int) -> str:
    """ISO 8601 in UTC of milliseconds since the epoch, such as ``2026-11-21T09:30:00.000Z``."""
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def message(words: Message) -> dict[str, Any]:
    """``Message`` of the contract."""
    payload: dict[str, Any] = {
        "id": words.id,
        "role": words.role,
        "content": words.content,
        "timestamp": words.created_at,
        "turnId": words.turn_id,
    }
    if words.interrupted:
        payload["interrupted"] = True
    return payload


def active(turns: Sequence[Active]) -> list[dict[str, Any]]:
    """``activeTurns`` of the contract."""
    return [{"turnId": turn.turn_id, "lastSeq": turn.last_seq} for turn in turns]


def numbered(mirror: Mirror, seq: int, event: Event | Ending) -> tuple[str, dict[str, Any]]:
    """A turn's event under its number."""
    match event:
        case Chunk(content, index):
            return "stream_chunk", {
                "content": content,
                "index": index,
                "turnId": mirror.turn_id,
                "seq": seq,
            }
        case Started(message_id):
            return "stream_start", {
                "sessionId": mirror.session_id,
                "turnId": mirror.turn_id,
                "messageId": message_id,
                "seq": seq,
            }
        case Ending():
            return _ending(mirror, seq, event)
        case _:
            assert_never(event)


def _ending(mirror: Mirror, seq: int, ending: Ending) -> tuple[str, dict[str, Any]]:
    payload: dict[str, Any] = {
        "turnId": mirror.turn_id,
        "seq": seq,
        "reason": ending.reason,
        "provider": ending.provider,
        "model": ending.model,
    }
    if ending.error is not None:
        payload["error"] = ending.error
    if ending.usage is not None:
        payload["usage"] = _usage(ending.usage)
    if ending.degraded:
        payload["degraded"] = True
    if mirror.streamed:
        payload |= {"sessionId": mirror.session_id, "chunks": ending.chunks}
        if ending.text is not None:
            payload["text"] = ending.text
        return "stream_end", payload
    return "assistant_response", payload | {
        "text": ending.text or "",
        "timestamp": ending.ended_at,
        "messageId": mirror.message_id,
    }


def _usage(usage: Usage) -> dict[str, int]:
    return {
        "inputTokens": usage.input_tokens,
        "outputTokens": usage.output_tokens,
        "totalTokens": usage.input_tokens + usage.output_tokens,
    }


def notice(words: Notice) -> tuple[str, dict[str, Any]]:
    """What happens beside the turns."""
    match words:
        case SessionCreated(session_id, expires_at, failed):
            created = {"sessionId": session_id, "expiresAt": iso(expires_at)}
            return "SESSION_CREATED", created | ({"restoreFailed": failed} if failed else {})
        case SessionRestored(session_id, expires_at, history, turns):
            return "SESSION_RESTORED", {
                "sessionId": session_id,
                "history": [message(item) for item in history],
                "expiresAt": iso(expires_at),
                "activeTurns": active(turns),
            }
        case SessionOver(session_id, reason):
            return "session_expired", {"sessionId": session_id, "reason": reason}
        case MessageAdded(added):
            return "message_added", message(added)
        case Limited():
            return "rate_limit", _limited(words)
        case Draining(reconnect_after_ms):
            return "server_draining", {"reconnectAfterMs": reconnect_after_ms}
        case Fault(error):
            return "error", dict(error)
        case _:
            assert_never(words)


def _limited(words: Limited) -> dict[str, Any]:
    payload: dict[str, Any] = {
        "remaining": words.remaining,
        "resetAt": iso(words.reset_at),
        "limit": words.limit,
    }
    if words.retry_after is not None:
        payload["retryAfter"] = whole_seconds(words.retry_after)
    return payload

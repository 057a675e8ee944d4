"""The session behind a connection: how it begins, what it holds, how it ends."""

from collections.abc import Mapping

from talksy.errors import SessionExpired
from talksy.transports import shapes
from talksy.transports.socketio.contract.entry import (
    ALWAYS,
    LATER,
    SAID,
    SESSION,
    TURN,
    Asked,
    Told,
)
from talksy.transports.socketio.payloads import GetHistory, Nothing

ASKED: Mapping[str, Asked] = {
    "get_history": Asked(
        "Read the conversation back, page by page.",
        GetHistory,
        {"limit": 20},
        shapes.Accepted,
        shapes.Accepted(ok=True),
        [SessionExpired, *ALWAYS],
        ["conversation_history"],
    ),
    "get_session_info": Asked(
        "Ask about the session.",
        Nothing,
        {},
        shapes.Accepted,
        shapes.Accepted(ok=True),
        [SessionExpired, *ALWAYS],
        ["session_info"],
    ),
    "end_session": Asked(
        "End the session for all its devices. Its history stays.",
        Nothing,
        {},
        shapes.SessionEnded,
        shapes.SessionEnded(ok=True, endedAt=LATER, durationSeconds=312),
        [SessionExpired, *ALWAYS],
    ),
}

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
    "session_expired": Told(
        "The session has ended. The next message opens a new one on the same socket.",
        ("session_expired", shapes.SessionExpired(sessionId=SESSION, reason="idle")),
    ),
}

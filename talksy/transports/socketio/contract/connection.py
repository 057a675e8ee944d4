"""The connection itself: its token, its budget, its end."""

from collections.abc import Mapping

from talksy.errors import Forbidden, TokenExpired, Unauthenticated
from talksy.transports import shapes
from talksy.transports.socketio.contract.entry import ALWAYS, ERROR, LATER, TOKEN, Asked, Told
from talksy.transports.socketio.payloads import AuthRefresh

ASKED: Mapping[str, Asked] = {
    "auth_refresh": Asked(
        "Go on under another token of the same user, before the present one runs out.",
        AuthRefresh,
        {"token": TOKEN},
        shapes.AuthRefreshed,
        shapes.AuthRefreshed(ok=True, expiresAt=LATER),
        [TokenExpired, Unauthenticated, Forbidden, *ALWAYS],
    ),
}

TOLD: Mapping[str, Told] = {
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

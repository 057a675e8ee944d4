"""Nonsense for both doors: a little in the suite, as much as one likes by ``make fuzz``."""

from typing import Any

MANY = 10_000_000
NO_LIMITS: dict[str, Any] = {
    "RATE_LIMIT_MAX_REQUESTS": MANY,
    "RATE_LIMIT_READS_PER_MINUTE": MANY,
    "AUTH_REGISTER_PER_MINUTE": MANY,
    "AUTH_LOGIN_PER_MINUTE": MANY,
    "AUTH_LOGIN_FAILURES": MANY,
    "MAX_SESSIONS_PER_USER": 1_000_000,
    # Who has left the namespace is given so long to come back, then the line is closed.
    "CONNECT_TIMEOUT_MS": 1_000,
}
"""Settings of the server: what is tried is how it reads, not how often."""

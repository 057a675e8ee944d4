"""Redis: whether it serves, and what may go wrong with it."""

import time
from collections.abc import AsyncGenerator, Iterator

from talksy.cli.check.findings import Finding, State, ms_since
from talksy.config import Settings
from talksy.state import Away
from talksy.state.redis import Standing, look

LISTENER_BYTES = 8_000_000
"""A node may be behind with so much before Redis hangs up on it: seconds of a busy fleet."""
FULL = 0.8
"""Beyond this part of its memory it is time to give it more."""


async def redis(settings: Settings) -> AsyncGenerator[Finding]:
    """Whether nodes may write to it, where there is one."""
    if settings.redis_url is None:
        return
    started = time.perf_counter()
    try:
        standing = await look(settings.redis_url)
    except Away as error:
        # Outside production a node starts without it, and says so.
        state: State = "failed" if settings.talksy_env == "production" else "risky"
        yield Finding("redis", state, str(error), "check REDIS_URL, and the server it leads to")
        return
    yield Finding("redis", "ok", f"Redis {standing.version} takes writes", ms=ms_since(started))
    for said, hint in _risks(standing):
        yield Finding("redis", "risky", said, hint)
    if untold := list(_untold(standing)):
        said = f"it does not tell its {', '.join(untold)}"
        yield Finding("redis", "ok", said, "a managed one has a page that does")


def _risks(standing: Standing) -> Iterator[tuple[str, str]]:
    """What may go wrong, with what to do about it."""
    if standing.clock_off:
        way = "ahead of" if standing.ahead_ms > 0 else "behind"
        yield (
            f"its clock is {abs(standing.ahead_ms) / 1000:.1f} s {way} ours",
            "set both by NTP: limits go by the clock of Redis, what clients are told by ours",
        )
    if standing.persists is False:
        yield (
            "it forgets all at a restart: text of a node that dies at that moment is lost",
            "set appendonly yes",
        )
    if standing.evicts:
        yield (
            f"when it is full it throws away what is in use (maxmemory-policy {standing.policy})",
            "set maxmemory-policy noeviction, and keep caches in another Redis",
        )
    if standing.bound and standing.used is not None and standing.used > FULL * standing.bound:
        yield (
            f"{standing.used * 100 // standing.bound} % of its memory are used",
            "raise maxmemory: a full one takes no writes",
        )
    if standing.listener_bytes and standing.listener_bytes < LISTENER_BYTES:
        yield (
            f"it hangs up on a node that is {standing.listener_bytes} bytes behind",
            "set client-output-buffer-limit pubsub 32mb 8mb 60",
        )


def _untold(standing: Standing) -> Iterator[str]:
    if standing.persists is None:
        yield "persistence"
    if standing.policy is None:
        yield "maxmemory-policy"
    if standing.listener_bytes is None:
        yield "client-output-buffer-limit"

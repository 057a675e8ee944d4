"""What can be told of a Redis: what keeps it from serving, and what an operator should know.

What a managed server does not say (CONFIG and INFO are often forbidden) is None: it cannot be told.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from time import time
from typing import Any

from redis.exceptions import (
    AuthenticationError,
    InvalidResponse,
    NoPermissionError,
    ResponseError,
)

from talksy.state.base import Away
from talksy.state.redis.client import PROBE_MS, Client
from talksy.state.redis.lines import FAULTS
from talksy.state.redis.scripts import PROBE
from talksy.state.redis.servers import Ask

OLDEST = (6, 2)
"""Redis 6.2 is what the commands are written for."""
CLOCK_MS = 2_000
"""Clocks that differ by more are told of."""
SECONDS = 3.0
"""How long a look may take in all."""
KEY = "talksy:1:check"


class Unfit(Away):
    """The Redis answers, and cannot do what is needed of it."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of a Redis that serves."""

    version: str
    ahead_ms: int
    """By how much its clock is ahead of ours."""
    persists: bool | None
    """It has an append-only file."""
    replicas: int | None
    policy: str | None
    """Its ``maxmemory-policy``."""
    used: int | None
    """Bytes."""
    bound: int | None
    """Its ``maxmemory`` in bytes, 0 for none."""
    listener_bytes: int | None
    """How much it holds for a node that does not read, before it hangs up; 0 for any amount."""

    @property
    def clock_off(self) -> bool:
        """Whether the clocks differ by more than they should."""
        return abs(self.ahead_ms) > CLOCK_MS

    @property
    def evicts(self) -> bool:
        """Whether it throws away what has yet to run out when it is full."""
        return bool(self.bound) and self.policy is not None and self.policy != "noeviction"


async def inspect(client: Client) -> Standing:
    """Looks at a Redis, and writes to it as nodes do. Raises ``Unfit`` and ``Away``."""
    try:
        async with asyncio.timeout(SECONDS):
            ask = await client.asker(KEY)
            version = await _version(ask)
            await ask("SCRIPT LOAD", PROBE.text)
            await ask("EVALSHA", PROBE.sha, 1, KEY, PROBE_MS)
            return await _standing(ask, version)
    except FAULTS as error:
        raise told(error) from error


async def look(url: str) -> Standing:
    """The same for who has no connection to it yet."""
    async with Client(url) as client:
        return await inspect(client)


async def _standing(ask: Ask, version: str) -> Standing:
    asked = time()
    seconds, micros = await ask("TIME")
    ahead = int(seconds) * 1000 + int(micros) / 1000 - (asked + time()) * 500
    memory, kept = await _info(ask, "memory"), await _info(ask, "persistence")
    replicas = (await _info(ask, "replication")).get("connected_slaves")
    return Standing(
        version=version,
        ahead_ms=round(ahead),
        persists=bool(int(kept["aof_enabled"])) if "aof_enabled" in kept else None,
        replicas=replicas,
        policy=memory.get("maxmemory_policy"),
        used=memory.get("used_memory"),
        bound=memory.get("maxmemory"),
        listener_bytes=await _listener_bytes(ask),
    )


def told(error: Exception) -> Away:
    """What an error says of the server, in words for its operator; without anything secret."""
    reason = str(error).partition("\n")[0]
    match error:
        case AuthenticationError():
            return Unfit("Redis refuses the user or the password of REDIS_URL")
        case NoPermissionError():
            return Unfit(f"Redis does not let its user do what is needed: {reason}")
        case ResponseError() if reason.startswith(("The user executing", "ACL failure in script")):
            return Unfit("Redis does not let its user do in scripts what is needed: see its ACL")
        case InvalidResponse():
            return Unfit("what answers at REDIS_URL is no Redis")
        case ResponseError() if reason.startswith(("READONLY", "You can't write against a read")):
            return Unfit("Redis is a replica and only reads: give the address of its primary")
        case ResponseError() if reason.startswith(("OOM", "command not allowed when used")):
            return Unfit("Redis is full: raise maxmemory, or find out who fills it")
        case ResponseError() if reason.startswith("MISCONF"):
            return Unfit("Redis takes no writes since it cannot save to its disk (MISCONF)")
    return Away(f"Redis cannot be reached: {reason or type(error).__name__}")


async def _version(ask: Ask) -> str:
    """Raises ``Unfit`` for one that is too old."""
    try:
        # Unlike INFO it is allowed to everybody.
        hello = _mapping(await ask("HELLO"))
    except ResponseError as error:
        raise _old("before 6") from error
    version = str(hello["version"])
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST:
        raise _old(version)
    return version


def _old(version: str) -> Unfit:
    oldest = ".".join(map(str, OLDEST))
    return Unfit(f"Redis {version} is too old: version {oldest} or a newer one is needed")


async def _info(ask: Ask, section: str) -> Mapping[str, Any]:
    with suppress(ResponseError):
        return _mapping(await ask("INFO", section))
    return {}


async def _listener_bytes(ask: Ask) -> int | None:
    with suppress(ResponseError):
        limits = _mapping(await ask("CONFIG GET", "client-output-buffer-limit"))
        _, _, words = str(limits.get("client-output-buffer-limit", "")).partition("pubsub ")
        return int(words.split()[0]) if words else None
    return None


def _mapping(answer: Any) -> Mapping[str, Any]:
    """An answer in pairs, whichever protocol it came by."""
    pairs = (
        answer.items() if isinstance(answer, dict) else zip(answer[::2], answer[1::2], strict=True)
    )
    return {_text(name): _text(value) for name, value in pairs}


def _text(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value

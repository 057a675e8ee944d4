"""What a node knows of its own state."""

import asyncio
import resource
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import structlog

from talksy.ai.llm import LanguageModel
from talksy.database import Database
from talksy.errors import TalksyError
from talksy.gateway import Gateway
from talksy.journal import Journal
from talksy.ratelimit import Limiter

log = structlog.get_logger(__name__)

PATIENCE = 2.0
"""Seconds a component may take to answer before it counts as away."""
PROVIDER_SECONDS = 30.0
"""How long a provider's answer is taken for its state: the page is open to all, its API is not."""


class NodeHealth:
    """The ``Health`` that the REST transport shows."""

    def __init__(
        self,
        *,
        gateway: Gateway,
        database: Database,
        journal: Journal,
        limiter: Limiter,
        model: LanguageModel,
    ) -> None:
        self._gateway = gateway
        self._database = database
        self._journal = journal
        self._limiter = limiter
        self._model = model
        self._provider: tuple[float, dict[str, Any]] | None = None

    def live(self) -> bool:
        """The loop turns, or nobody would be asked."""
        return True

    async def ready(self) -> bool:
        """Whether new clients can be served."""
        return not self._gateway.draining and (await self._ask_database())["state"] == "ok"

    def connections(self) -> int:
        """Open sockets of this node."""
        return self._gateway.connections

    async def detailed(self) -> Mapping[str, Mapping[str, Any]]:
        """Each component's ``{state, latencyMs?, …}``."""
        return {
            "memory": {"state": "ok", "peakBytes": _peak()},
            "database": await self._ask_database(),
            "storage": {
                "state": "degraded" if self._journal.full else "ok",
                "kind": "memory",
                "limits": {name: asdict(count) for name, count in self._limiter.stats().items()},
            },
            "sessions": {
                "state": "degraded" if self._gateway.draining else "ok",
                "draining": self._gateway.draining,
                "connections": self._gateway.connections,
                "runningTurns": self._journal.running,
            },
            "providers": await self._ask_provider(),
        }

    async def _ask_database(self) -> dict[str, Any]:
        started = time.perf_counter()
        try:
            async with asyncio.timeout(PATIENCE):
                await self._database.ping()
        except Exception as error:  # noqa: BLE001 - whatever it says, it does not serve
            log.warning("database_down", error=type(error).__name__)
            return {"state": "down"}
        return {"state": "ok", "latencyMs": _ms(started)}

    async def _ask_provider(self) -> dict[str, Any]:
        if self._provider is not None and self._provider[0] > time.monotonic():
            return self._provider[1]
        said: dict[str, Any] = {"provider": self._model.provider, "model": self._model.model}
        started = time.perf_counter()
        try:
            async with asyncio.timeout(PATIENCE):
                await self._model.ping()
            said |= {"state": "ok", "latencyMs": _ms(started)}
        except (TalksyError, TimeoutError):
            # Accounts, history and running turns are served all the same.
            said |= {"state": "degraded"}
        self._provider = (time.monotonic() + PROVIDER_SECONDS, said)
        return said


def _ms(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 2)


def _peak() -> int:
    """The most memory the process has had, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024

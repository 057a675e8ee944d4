"""What a node knows of its own state."""

import asyncio
import resource
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import structlog

from talksy.ai.llm import Choice, LanguageModel
from talksy.ai.stt import Recognizer
from talksy.ai.tts import Synthesizer
from talksy.database import CLOCK_MS, Database
from talksy.gateway import Gateway
from talksy.journal import Journal
from talksy.ratelimit import Limiter
from talksy.state.redis import RedisState
from talksy.transports.rest.health import State

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
        models: Sequence[Choice],
        hearers: Sequence[Choice[Recognizer]] = (),
        speakers: Sequence[Choice[Synthesizer]] = (),
        state: RedisState | None = None,
    ) -> None:
        self._gateway = gateway
        self._database = database
        self._journal = journal
        self._limiter = limiter
        self._models = models
        self._hearers = hearers
        self._speakers = speakers
        self._state = state
        self._pinged: tuple[float, list[float | None]] | None = None

    def live(self) -> bool:
        """The loop turns, or nobody would be asked."""
        return True

    async def ready(self) -> State:
        """Whether new clients can be served. Without Redis they can: each node says so, and if all
        were taken out for it nobody would be served.
        """
        if self._gateway.draining or (await self._ask_database())["state"] == "down":
            return "down"
        return "degraded" if self._redis()["state"] == "degraded" else "ok"

    def connections(self) -> int:
        """Open sockets of this node."""
        return self._gateway.connections

    async def detailed(self) -> Mapping[str, Mapping[str, Any]]:
        """Each component's ``{state, latencyMs?, …}``."""
        redis = self._redis()
        return {
            "memory": {"state": "ok", "peakBytes": _peak()},
            "database": {**await self._ask_database(), "nodes": self._journal.stats().nodes},
            "storage": {
                "state": "degraded" if self._journal.full else redis["state"],
                "kind": "memory" if self._state is None else "redis",
                "limits": {name: asdict(count) for name, count in self._limiter.stats().items()},
                "redis": redis,
            },
            "sessions": {
                "state": "degraded" if self._gateway.draining else "ok",
                "draining": self._gateway.draining,
                "connections": self._gateway.connections,
                "runningTurns": self._journal.running,
            },
            "providers": await self._ask_providers(),
        }

    async def _ask_database(self) -> dict[str, Any]:
        started = time.perf_counter()
        try:
            async with asyncio.timeout(PATIENCE):
                ahead_ms = await self._database.ping()
        except Exception as error:  # noqa: BLE001 - whatever it says, it does not serve
            log.warning("database_down", error=type(error).__name__)
            return {"state": "down"}
        return {
            "state": "degraded" if abs(ahead_ms) > CLOCK_MS else "ok",
            "latencyMs": _ms(started),
            "clockAheadMs": ahead_ms,
        }

    def _redis(self) -> dict[str, Any]:
        """How it stands, as the node knows anyway: whoever looks waits for nobody."""
        if self._state is None:
            return {"state": "ok", "configured": False}
        stats = self._state.stats()
        away = stats.away_seconds is not None
        said: dict[str, Any] = {
            "state": "degraded" if away or not stats.hears else "ok",
            "configured": True,
            "limitsLocal": away,
            "hears": stats.hears,
            "deafened": stats.deaf,
        }
        if stats.away_seconds is not None:
            said["awaySeconds"] = round(stats.away_seconds, 1)
        elif stats.latency is not None:
            said["latencyMs"] = round(stats.latency * 1000, 2)
        return said

    async def _ask_providers(self) -> dict[str, Any]:
        """How the models stand, the usual one first: without it answers are degraded. And how those
        stand who hear and speak.

        Accounts, history and running turns are served all the same.
        """
        took = iter(await self._latencies())
        models, stt, tts = (
            [_standing(choice, next(took)) for choice in choices]
            for choices in (self._models, self._hearers, self._speakers)
        )
        return {**models[0], "models": models, "stt": stt, "tts": tts}

    async def _latencies(self) -> list[float | None]:
        """How long each provider took to answer, in ms; None where it did not."""
        if self._pinged is None or self._pinged[0] <= time.monotonic():
            choices: tuple[Choice[Any], ...] = (*self._models, *self._hearers, *self._speakers)
            took = await asyncio.gather(*(_ping(choice.model) for choice in choices))
            self._pinged = (time.monotonic() + PROVIDER_SECONDS, took)
        return self._pinged[1]


def _standing(choice: Choice[Any], took: float | None) -> dict[str, Any]:
    provider, model = choice.names
    breaker = choice.breaker.state
    state = "ok" if took is not None and breaker == "closed" else "degraded"
    said = {"provider": provider, "model": model, "state": state, "breaker": breaker}
    return said if took is None else {**said, "latencyMs": took}


async def _ping(model: LanguageModel | Recognizer | Synthesizer) -> float | None:
    started = time.perf_counter()
    try:
        async with asyncio.timeout(PATIENCE):
            await model.ping()
    except Exception as error:  # noqa: BLE001 - whatever it says, it does not serve
        log.warning("provider_down", provider=model.provider, error=type(error).__name__)
        return None
    return _ms(started)


def _ms(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 2)


def _peak() -> int:
    """The most memory the process has had, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024

"""Commands to Redis, with short patience: what it does not do at once it does not do."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Self

import structlog

from talksy.state.base import Away
from talksy.state.redis.lines import FAULTS, Command, Connection
from talksy.state.redis.scripts import PROBE, Script
from talksy.state.redis.servers import Ask, Cluster, servers_at

log = structlog.get_logger(__name__)

PROBE_MS = 10_000
"""How long a proof is kept."""


class Client:
    """One Redis, wherever its primary is: alone, behind Sentinel, or a cluster."""

    def __init__(self, url: str) -> None:
        """Connects to nobody yet. Raises ``ValueError``."""
        self._servers = servers_at(url)
        self.cluster = isinstance(self._servers, Cluster)
        self.commands = 0
        """How many were answered."""
        self.failures = 0
        """How often they were not answered, or with an error."""
        self.latency: float | None = None
        """Seconds that the last proof took."""
        self._away_since: float | None = None
        self._doubt = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._servers.close()

    @property
    def away_seconds(self) -> float | None:
        """For how long it has not served; None where it has been proven since."""
        return None if self._away_since is None else time.monotonic() - self._away_since

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        """The answers to ``commands``, sent in one go. Raises ``Away`` if one of them fails: at
        once where the server has failed before and has not been proven since.
        """
        try:
            answers = await self._servers.ask(commands)
        except FAULTS as error:
            self._went(_reason(error))
            raise self._failed(error) from error
        self.commands += len(commands)
        for answer in answers:
            if isinstance(answer, Exception):
                raise self._failed(answer) from answer
        return answers

    async def call(self, script: Script, key: str, *args: str | bytes | int) -> Any:
        """What a script answers. Raises ``Away``."""
        (answer,) = await self.run([evaluated(script, key, *args)])
        return answer

    async def prove(self, key: str) -> None:
        """Writes ``key`` and says a word on the channel of that name: whoever can do that can do
        all that is needed, and Redis is there until it does not answer. Raises ``Away``.
        """
        started, failures = time.perf_counter(), self.failures
        try:
            await self._mend()
            await self.call(PROBE, key, PROBE_MS)
        except Away as away:
            # What was the primary may be a replica now, and is known no longer.
            await self._servers.drop()
            self._went(str(away))
            raise
        self.latency = time.perf_counter() - started
        # What has failed meanwhile may be another server than the one that has the key.
        if self._away_since is not None and self.failures == failures:
            log.info("redis_back", seconds=round(time.monotonic() - self._away_since, 1))
            self._away_since = None

    def wonder(self) -> None:
        """Ends ``doubt`` at once."""
        self._doubt.set()

    async def doubt(self, seconds: float) -> None:
        """Returns when a command has failed since the last call, or ``seconds`` have passed."""
        try:
            async with asyncio.timeout(seconds):
                await self._doubt.wait()
        except TimeoutError:
            return
        finally:
            self._doubt.clear()

    async def ear(self) -> Connection:
        """A connection to listen on, which waits as long as it must. Raises ``Away``."""
        try:
            return await self._servers.ear()
        except FAULTS as error:
            raise Away(_reason(error)) from error

    async def meets(self, ear: Connection) -> bool:
        """Whether an ear is at the server that commands go to. Where it is not, one of them has
        missed a failover, and commands find their way anew.
        """
        return await self._servers.meets(ear)

    async def asker(self, key: str) -> Ask:
        """Sends commands, word by word, to the server that has ``key``, for those who look at it.

        The errors are the library's, here and there, and nothing ends it but a timeout around it.
        """
        return await self._servers.asker(key)

    async def _mend(self) -> None:
        try:
            await self._servers.mend()
        except FAULTS as error:
            raise Away(_reason(error)) from error

    def _went(self, reason: str) -> None:
        if self._away_since is None:
            self._away_since = time.monotonic()
            log.warning("redis_away", reason=reason)

    def _failed(self, error: Exception) -> Away:
        self.failures += 1
        self._doubt.set()
        return Away(_reason(error))


def evaluated(script: Script, key: str, *args: str | bytes | int) -> Command:
    """The command that runs a script on one key."""
    return ("EVALSHA", script.sha, 1, key, *args)


def _reason(error: Exception) -> str:
    return str(error).partition("\n")[0][:200] or type(error).__name__

"""How often a password may be guessed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256

import structlog

from talksy.auth import KnownLogins, email_key
from talksy.errors import InvalidCredentials, RateLimited, TalksyError
from talksy.ratelimit import Limiter

log = structlog.get_logger(__name__)

WINDOW_MS = 15 * 60_000
EVERYWHERE = 10
"""So many times as often from everywhere together as from one address."""


class Guesses:
    """Failed logins of an account: those from one address, and those from everywhere.

    A stranger uses up its own address's, so it locks nobody out. Many strangers together use up
    everybody's, but for the addresses from which the account was logged in to before.
    """

    def __init__(self, limiter: Limiter, known: KnownLogins, *, failures: int) -> None:
        self._limiter = limiter
        self._known = known
        self._failures = failures

    @asynccontextmanager
    async def one(self, email: str, address: str) -> AsyncIterator[None]:
        """A login. It is taken before the password is looked at, so that guesses side by side are
        counted, too, and given back unless it was wrong. Raises ``RateLimited``.
        """
        account = sha256(email_key(email).encode("utf-8", "surrogatepass")).hexdigest()
        taken: list[str] = []
        try:
            await self._take(taken, f"failures:{address}:{account}", self._failures)
            known = await self._known.has(email, address)
            if not known:
                await self._take(taken, f"everywhere:{account}", self._failures * EVERYWHERE)
            yield
        except InvalidCredentials:
            raise
        except TalksyError:
            await self._give_back(taken)
            raise
        await self._give_back(taken)
        await self.remember(email, address)

    async def remember(self, email: str, address: str) -> None:
        """The account was logged in to from there."""
        try:
            await self._known.add(email, address)
        except TalksyError as error:
            # They are logged in all the same.
            log.warning("login_not_remembered", code=error.code)

    async def _take(self, taken: list[str], key: str, limit: int) -> None:
        verdict = await self._limiter.take(key, limit, WINDOW_MS)
        if not verdict.allowed:
            raise RateLimited(retry_after=verdict.retry_after)
        taken.append(key)

    async def _give_back(self, taken: list[str]) -> None:
        for key in taken:
            await self._limiter.refund(key)

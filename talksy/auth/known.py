"""From which addresses an account was logged in to: those are not taken for strangers."""

import hmac
from collections.abc import Sequence

from talksy.auth.caches import Clock
from talksy.auth.credentials import email_key
from talksy.database.logins import Logins

KEPT_MS = 90 * 86_400_000
"""How long an address is known after the last login from it."""


class KnownLogins:
    """Remembers an account and an address together, as a digest under a secret.

    It is the same work, and says nothing, for an account that does not exist. The first of
    ``secrets`` makes what is kept, all of them are looked for.
    """

    def __init__(self, logins: Logins, secrets: Sequence[str], *, clock: Clock) -> None:
        self._logins = logins
        self._secrets = [secret.encode() for secret in secrets]
        self._clock = clock

    async def has(self, email: str, address: str) -> bool:
        """Whether the account was logged in to from there."""
        return await self._logins.known(
            [_digest(secret, email, address) for secret in self._secrets]
        )

    async def add(self, email: str, address: str) -> None:
        """Somebody has just logged in."""
        await self._logins.add(_digest(self._secrets[0], email, address), self._clock())

    async def sweep(self) -> None:
        """Forgets addresses that were not used for long."""
        await self._logins.sweep(self._clock() - KEPT_MS)


def _digest(secret: bytes, email: str, address: str) -> str:
    account = email_key(email).encode("utf-8", "surrogatepass")
    words = b"\0".join([b"known login", account, address.encode()])
    return hmac.new(secret, words, "sha256").hexdigest()

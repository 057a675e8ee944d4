"""Who was verified lately, and who they are: bounded in number and in age."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from cachetools import TLRUCache, TTLCache

from talksy.auth.identity import Identity, User

Clock = Callable[[], int]
"""Gives milliseconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How a cache did since the start."""

    hits: int
    misses: int
    size: int


class UserCache:
    """Users by id. A size of 0 keeps nothing."""

    def __init__(self, *, size: int, ttl_ms: int, clock: Clock) -> None:
        self._users: TTLCache[str, User, int] | None = (
            TTLCache(size, ttl_ms, timer=clock) if size else None
        )
        self._hits = self._misses = 0

    def get(self, user_id: str) -> User | None:
        user = None if self._users is None else self._users.get(user_id)
        if user is None:
            self._misses += 1
        else:
            self._hits += 1
        return user

    def put(self, user: User) -> None:
        if self._users is not None:
            self._users[user.id] = user

    def counts(self) -> Counts:
        return Counts(self._hits, self._misses, 0 if self._users is None else len(self._users))


class TokenCache:
    """Identities by the SHA-256 of their access token, never longer than the token lives.

    ``generation`` counts revocations: what was read from the database under one generation must
    not be kept under the next. A size of 0 keeps nothing.
    """

    def __init__(self, *, size: int, ttl_ms: int, clock: Clock) -> None:
        self._identities = _Identities(size, ttl_ms, clock) if size else None
        self._hits = self._misses = 0
        self.generation = 0

    def get(self, token: str) -> Identity | None:
        identity = None if self._identities is None else self._identities.get(_key(token))
        if identity is None:
            self._misses += 1
        else:
            self._hits += 1
        return identity

    def put(self, token: str, identity: Identity) -> None:
        if self._identities is not None:
            self._identities[_key(token)] = identity

    def purge(self, family_id: str) -> None:
        """Forgets a family and begins a new generation."""
        self.generation += 1
        if self._identities is not None:
            self._identities.purge(family_id)

    def counts(self) -> Counts:
        size = 0 if self._identities is None else len(self._identities)
        return Counts(self._hits, self._misses, size)


class _Identities(TLRUCache[bytes, Identity, int]):
    """Knows the entries of a family, so that a revocation does not search the whole cache."""

    def __init__(self, size: int, ttl_ms: int, clock: Clock) -> None:
        super().__init__(
            size, lambda _, identity, now: min(now + ttl_ms, identity.expires_at), clock
        )
        # Nearly all have one: a tuple takes a quarter of a set.
        self._families: dict[str, tuple[bytes, ...]] = {}

    def __setitem__(self, key: bytes, identity: Identity) -> None:
        super().__setitem__(key, identity)
        keys = self._families.get(identity.family_id, ())
        if key in self and key not in keys:
            self._families[identity.family_id] = (*keys, key)

    def purge(self, family_id: str) -> None:
        for key in self._families.pop(family_id, ()):
            self.pop(key, None)

    # The two ways in which cachetools lets go of an entry by itself.

    def expire(self, time: int | None = None) -> list[tuple[bytes, Identity]]:
        expired = super().expire(time)
        for key, identity in expired:
            self._unlist(key, identity)
        return expired

    def popitem(self) -> tuple[bytes, Identity]:
        key, identity = super().popitem()
        self._unlist(key, identity)
        return key, identity

    def _unlist(self, key: bytes, identity: Identity) -> None:
        keys = self._families.get(identity.family_id, ())
        left = tuple(other for other in keys if other != key)
        if left:
            self._families[identity.family_id] = left
        else:
            self._families.pop(identity.family_id, None)


def _key(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()

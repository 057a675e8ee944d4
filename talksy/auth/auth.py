"""From a credential to an identity."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, Self

import structlog

from talksy.auth import refresh
from talksy.auth.access import AccessTokens
from talksy.auth.caches import Clock, TokenCache, UserCache
from talksy.auth.credentials import credential_faults, email_faults, email_key
from talksy.auth.identity import Grant, Identity, User
from talksy.auth.known import KnownLogins
from talksy.auth.passwords import Passwords
from talksy.database.accounts import SETTLED_MS, Account, Accounts, Family, RefreshToken
from talksy.errors import (
    InvalidCredentials,
    NotFound,
    RateLimited,
    TalksyError,
    Unauthenticated,
    ValidationError,
)
from talksy.ids import new_id

log = structlog.get_logger(__name__)

MOST_STEPS = 100
"""So many tokens may have come after one that is presented again; each is a look at the database.
Two tabs are a few apart."""


class Auth:
    """Accounts, logins and tokens; open it with ``async with``."""

    def __init__(
        self,
        accounts: Accounts,
        passwords: Passwords,
        access: AccessTokens,
        known: KnownLogins,
        *,
        users: UserCache,
        tokens: TokenCache,
        refresh_ttl_ms: int,
        grace_ms: int,
        clock: Clock,
    ) -> None:
        """``grace_ms`` is how long a used refresh token still gives its successor; 0 is strict."""
        self._accounts = accounts
        self._passwords = passwords
        self._access = access
        self.known = known
        """From where accounts were logged in to."""
        self._users = users
        self._tokens = tokens
        self._refresh_ttl_ms = refresh_ttl_ms
        self._grace_ms = grace_ms
        self._clock = clock
        self._callbacks: list[Callable[[str], None]] = []
        self._renewals: set[asyncio.Task[None]] = set()
        self._replays = 0
        self._looked_at = clock()

    async def __aenter__(self) -> Self:
        await self._passwords.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        for task in self._renewals:
            task.cancel()
        await asyncio.gather(*self._renewals, return_exceptions=True)
        await self._passwords.__aexit__(*exc)

    async def register(self, email: str, password: str) -> Grant:
        """A new account and its first login.

        Raises ``ValidationError`` with every fault, ``EmailTaken``, or ``Overloaded`` when too
        many passwords are being worked on.
        """
        faults = credential_faults(email, password)
        if faults:
            detail = "; ".join(f"{path} {message}" for path, message in faults)
            raise ValidationError(detail, faults=faults)
        hashed = await self._passwords.hash(password)
        now = self._clock()
        account = Account(new_id("usr"), email.strip(), email_key(email), hashed, now)
        family = Family(new_id("fam"), account.id, now)
        token = refresh.new_token()
        await self._accounts.register(account, family, self._kept(token, now))
        return self._grant(family, account.scope, token, now, _user(account))

    def must_have_room(self) -> None:
        """Raises ``Overloaded`` where a login would be refused now: before anything is looked up
        for somebody who cannot be served.
        """
        self._passwords.must_have_room()

    async def login(self, email: str, password: str) -> Grant:
        """A new login. Raises ``InvalidCredentials``, whichever of the two is wrong and after the
        same work, or ``Overloaded``."""
        self.must_have_room()
        account = await self._find(email)
        hashed = account.password_hash if account else None
        if not await self._passwords.check(password, hashed) or account is None:
            raise InvalidCredentials
        if not self._passwords.current(account.password_hash):
            task = asyncio.create_task(self._rehash(account, password), name="rehash")
            self._renewals.add(task)
            task.add_done_callback(self._renewals.discard)
        now = self._clock()
        family = Family(new_id("fam"), account.id, now)
        token = refresh.new_token()
        await self._accounts.login(family, self._kept(token, now))
        return self._grant(family, account.scope, token, now, _user(account))

    async def _rehash(self, account: Account, password: str) -> None:
        """Makes the hash cost what it should; a password that was changed meanwhile stays."""
        try:
            hashed = await self._passwords.hash(password)
            await self._accounts.rehash(account.id, account.password_hash, hashed)
        except TalksyError as error:
            log.info("rehash_put_off", code=error.code)
        except Exception:
            # The next login tries again.
            log.exception("rehash_failed")

    async def refresh(self, refresh_token: str) -> Grant:
        """New tokens for a refresh token, which is spent by that.

        Within the grace a second use is given the same successor, or what that was replaced by
        since: a token that can be used. Raises ``Unauthenticated`` for a token that is unknown,
        has run out or was revoked, and for a replay, which revokes the family; ``RateLimited``
        where too many came after it.
        """
        if not refresh.well_formed(refresh_token):
            raise Unauthenticated("This is not a refresh token: log in again.")
        now = self._clock()
        token = refresh.new_token()
        sealed = refresh.seal(token, refresh_token) if self._grace_ms else None
        rotation = await self._accounts.rotate(
            refresh.digest(refresh_token),
            self._kept(token, now),
            sealed,
            now=now,
            grace_ms=self._grace_ms,
        )
        if rotation is None:
            raise Unauthenticated("The refresh token is not valid any more: log in again.")
        if rotation.outcome == "replayed":
            self._replays += 1
            log.warning("refresh_token_replayed", family_id=rotation.family_id)
            self._revoked(rotation.family_id)
            raise Unauthenticated("The refresh token was used before: log in again.")
        sealed, spent, steps = rotation.sealed, refresh_token, 0
        while sealed is not None:
            if (steps := steps + 1) > MOST_STEPS:
                raise RateLimited("This login is renewed too often.", retry_after=1)
            token = refresh.unseal(sealed, spent)
            # Another tab may have gone on from there: what it spent must not be handed out.
            sealed, spent = await self._accounts.successor(refresh.digest(token)), token
        family = Family(rotation.family_id, rotation.user_id, now)
        return self._grant(family, rotation.scope, token, now)

    async def logout(self, refresh_token: str) -> None:
        """Ends the login the token belongs to. An unknown token ends nothing, and is fine."""
        if not refresh.well_formed(refresh_token):
            return
        family_id = await self._accounts.revoke(refresh.digest(refresh_token), now=self._clock())
        if family_id is not None:
            self._revoked(family_id)

    async def verify(self, access_token: str, *, guests: bool = False) -> Identity:
        """Who presents an access token or, with ``guests``, that of a guest.

        When it returns, no revocation was made here since the database was asked. Raises
        ``TokenExpired`` or ``Unauthenticated``.
        """
        identity = self._tokens.get(access_token)
        if identity is not None:
            return identity
        identity = self._access.read(access_token, now=self._clock(), guests=guests)
        if identity.guest:
            return identity
        while True:
            generation = self._tokens.generation
            account = await self._accounts.owner(identity.family_id)
            if account is None or account.id != identity.user_id:
                raise Unauthenticated("This login has ended: log in again.")
            # A revocation came between: it may have been of this family, so ask again.
            if generation == self._tokens.generation:
                break
        self._tokens.put(access_token, identity)
        self._users.put(User(identity.user_id, account.email, account.created_at))
        return identity

    @property
    def guests(self) -> bool:
        """Whether somebody without a token is let in, as a guest."""
        return self._access.guests

    def guest_token(self, guest_id: str) -> str:
        """A token with which a guest comes back. Raises ``Unauthenticated`` if there are none."""
        return self._access.sign_guest(guest_id, now=self._clock()).text

    async def user(self, user_id: str) -> User:
        """The user with this id. Raises ``NotFound``."""
        user = self._users.get(user_id)
        if user is None:
            account = await self._accounts.get(user_id)
            if account is None:
                raise NotFound("There is no such user.")
            user = _user(account)
            self._users.put(user)
        return user

    async def mint(self, email: str) -> str:
        """An access token for an existing account, in a login of its own. Raises ``NotFound``."""
        account = await self._find(email)
        if account is None:
            raise NotFound("There is no account with this e-mail address: register it first.")
        now = self._clock()
        family = Family(new_id("fam"), account.id, now)
        await self._accounts.login(family)
        return self._access.sign(account.id, family.id, now=now, scope=account.scope).text

    async def sweep(self) -> int:
        """Erases tokens that have run out, and counts them: for a timer, once an hour or so."""
        await self.known.sweep()
        return await self._accounts.sweep(
            now=self._clock(), grace_ms=self._grace_ms, access_ms=self._access.ttl_ms
        )

    def forget(self, family_id: str) -> None:
        """A family was revoked on another node: nobody is taken for its owner any more."""
        self._tokens.purge(family_id)

    async def revoked(self, *, asked: bool) -> Sequence[str]:
        """The families that were revoked lately, on whichever node, and are forgotten with this.

        Unless it is ``asked`` the database is not, as long as there is nothing to forget.
        """
        now = self._clock()
        families: Sequence[str] = ()
        if asked or self._tokens.counts().size:
            families = await self._accounts.revoked(self._looked_at - SETTLED_MS)
            for family_id in families:
                self.forget(family_id)
        self._looked_at = now
        return families

    def on_revoked(self, callback: Callable[[str], None]) -> None:
        """``callback`` is given the id of each family that is revoked here, at once."""
        self._callbacks.append(callback)

    def stats(self) -> dict[str, Any]:
        """``{tokens: {hits, misses, size}, users: {…}, passwords: {completed, refused},
        replays}``."""
        return {
            "tokens": asdict(self._tokens.counts()),
            "users": asdict(self._users.counts()),
            "passwords": {
                "completed": self._passwords.completed,
                "refused": self._passwords.refused,
            },
            "replays": self._replays,
        }

    async def _find(self, email: str) -> Account | None:
        # What could not be registered is not there, and may hold what no database takes.
        return None if email_faults(email) else await self._accounts.find(email_key(email))

    def _kept(self, token: str, now: int) -> RefreshToken:
        return RefreshToken(refresh.digest(token), now, now + self._refresh_ttl_ms)

    def _grant(
        self, family: Family, scope: str, token: str, now: int, user: User | None = None
    ) -> Grant:
        access = self._access.sign(family.user_id, family.id, now=now, scope=scope)
        if user is not None:
            self._users.put(user)
        return Grant(access.text, token, access.expires_in, user)

    def _revoked(self, family_id: str) -> None:
        self._tokens.purge(family_id)
        for callback in self._callbacks:
            try:
                callback(family_id)
            except Exception:
                # The login has ended all the same, and the others must hear of it.
                log.exception("revocation_callback_failed", family_id=family_id)


def _user(account: Account) -> User:
    return User(account.id, account.email, account.created_at)

"""Access tokens and those of guests: signed, read without asking anybody."""

from collections.abc import Sequence
from dataclasses import dataclass
from sys import intern
from typing import Any, Literal

import jwt

from talksy.auth.identity import Identity
from talksy.database.accounts import BASIC
from talksy.errors import TokenExpired, Unauthenticated
from talksy.ids import new_id

ALGORITHM = "HS256"
ISSUER = AUDIENCE = "talksy"
VERSION = 1
"""Of the claims: a node reads its own and, once there is one, the version before."""
MAX_CHARS = 4_096
Kind = Literal["access", "guest"]
_TEXTS = ("sub", "sid", "jti", "scope")
_OPTIONS: Any = {
    "require": ["sub", "sid", "typ", "ver", "iat", "exp", "iss", "aud", "jti", "scope"],
    # Time is an argument here; PyJWT would look at the system's.
    "verify_exp": False,
    "verify_iat": False,
    "verify_nbf": False,
}


@dataclass(frozen=True, slots=True)
class AccessToken:
    text: str
    expires_in: int
    """Seconds."""


class AccessTokens:
    """Signs and reads them. The first of ``secrets`` signs, all of them verify.

    A guest's token is of another kind (``typ``), lives ``guest_ttl_ms`` and is all that a guest is:
    no row stands behind it. Without ``guest_ttl_ms`` there are no guests.
    """

    def __init__(
        self, secrets: Sequence[str], *, ttl_ms: int, guest_ttl_ms: int | None = None
    ) -> None:
        if not secrets or not all(secrets):
            raise ValueError("access tokens need a secret")
        self._secrets = tuple(secrets)
        self.ttl_ms = ttl_ms
        self._guest_ttl_ms = guest_ttl_ms

    @property
    def guests(self) -> bool:
        """Whether there may be guests."""
        return self._guest_ttl_ms is not None

    def sign(self, user_id: str, family_id: str, *, now: int, scope: str = BASIC) -> AccessToken:
        """A token for one login of a user, from ``now`` (milliseconds since the epoch)."""
        return self._sign("access", user_id, family_id, scope, now, self.ttl_ms)

    def sign_guest(self, guest_id: str, *, now: int) -> AccessToken:
        """A token with which a guest comes back."""
        if self._guest_ttl_ms is None:
            raise Unauthenticated
        return self._sign("guest", guest_id, guest_id, BASIC, now, self._guest_ttl_ms)

    def read(self, token: str, *, now: int, guests: bool = False) -> Identity:
        """What a token says; a guest's is taken only with ``guests``.

        Raises ``TokenExpired``, or ``Unauthenticated`` where it lies.
        """
        claims = self._claims(token)
        kinds = ("access", "guest") if guests and self.guests else ("access",)
        if claims["typ"] not in kinds or claims["ver"] != VERSION:
            raise Unauthenticated("This is not an access token of this server: log in again.")
        numbers = [claims[name] for name in ("iat", "exp")]
        texts = [claims[name] for name in _TEXTS]
        if not all(type(number) is int for number in numbers) or not all(
            isinstance(text, str) for text in texts
        ):
            raise Unauthenticated("The access token is malformed: log in again.")
        issued_at, expires_at = (number * 1000 for number in numbers)
        if now >= expires_at:
            raise TokenExpired
        return Identity(
            user_id=claims["sub"],
            family_id=claims["sid"],
            issued_at=issued_at,
            expires_at=expires_at,
            scope=intern(claims["scope"]),
            guest=claims["typ"] == "guest",
        )

    def _sign(
        self, kind: Kind, user_id: str, family_id: str, scope: str, now: int, ttl_ms: int
    ) -> AccessToken:
        issued, expires = now // 1000, (now + ttl_ms) // 1000
        claims = {
            "sub": user_id,
            "sid": family_id,
            "typ": kind,
            "ver": VERSION,
            "iat": issued,
            "exp": expires,
            "iss": ISSUER,
            "aud": AUDIENCE,
            "jti": new_id("jti"),
            "scope": scope,
        }
        return AccessToken(jwt.encode(claims, self._secrets[0], ALGORITHM), expires - issued)

    def _claims(self, token: str) -> dict[str, Any]:
        if len(token) > MAX_CHARS or not token.isascii():
            raise Unauthenticated("The access token is malformed: log in again.")
        for secret in self._secrets:
            try:
                return jwt.decode(
                    token,
                    secret,
                    algorithms=[ALGORITHM],
                    audience=AUDIENCE,
                    issuer=ISSUER,
                    options=_OPTIONS,
                )
            except jwt.InvalidSignatureError:
                continue
            # A header nested a thousand deep is not PyJWT's error to catch.
            except (jwt.PyJWTError, RecursionError, ValueError):
                break
        raise Unauthenticated("The access token is not valid here: log in again.")

"""Access tokens: signed, short-lived, read without asking anybody."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jwt

from talksy.auth.identity import Identity
from talksy.errors import TokenExpired, Unauthenticated
from talksy.ids import new_id

ALGORITHM = "HS256"
ISSUER = AUDIENCE = "talksy"
VERSION = 1
"""Of the claims: a node reads its own and, once there is one, the version before."""
SCOPE = "tools:basic"
MAX_CHARS = 4_096
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
    """Signs and reads them. The first of ``secrets`` signs, all of them verify."""

    def __init__(self, secrets: Sequence[str], *, ttl_ms: int) -> None:
        if not secrets or not all(secrets):
            raise ValueError("access tokens need a secret")
        self._secrets = tuple(secrets)
        self._ttl_ms = ttl_ms

    def sign(self, user_id: str, family_id: str, *, now: int) -> AccessToken:
        """A token for one login of a user, from ``now`` (milliseconds since the epoch)."""
        issued, expires = now // 1000, (now + self._ttl_ms) // 1000
        claims = {
            "sub": user_id,
            "sid": family_id,
            "typ": "access",
            "ver": VERSION,
            "iat": issued,
            "exp": expires,
            "iss": ISSUER,
            "aud": AUDIENCE,
            "jti": new_id("jti"),
            "scope": SCOPE,
        }
        return AccessToken(jwt.encode(claims, self._secrets[0], ALGORITHM), expires - issued)

    def read(self, token: str, *, now: int) -> Identity:
        """What a token says. Raises ``TokenExpired``, or ``Unauthenticated`` where it lies."""
        claims = self._claims(token)
        texts = [claims[name] for name in _TEXTS]
        if claims["typ"] != "access" or claims["ver"] != VERSION:
            raise Unauthenticated("This is not an access token of this server: log in again.")
        if type(claims["exp"]) is not int or not all(isinstance(text, str) for text in texts):
            raise Unauthenticated("The access token is malformed: log in again.")
        expires_at = claims["exp"] * 1000
        if now >= expires_at:
            raise TokenExpired
        return Identity(claims["sub"], claims["sid"], expires_at, claims["scope"])

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

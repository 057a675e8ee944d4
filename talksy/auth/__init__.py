"""From a credential to an identity: passwords, access and refresh tokens, families, caches."""

from talksy.auth.access import AccessTokens
from talksy.auth.auth import Auth
from talksy.auth.caches import Counts, TokenCache, UserCache
from talksy.auth.credentials import credential_faults, email_faults, email_key, password_faults
from talksy.auth.identity import Grant, Identity, User
from talksy.auth.known import KnownLogins
from talksy.auth.passwords import Passwords

__all__ = [
    "AccessTokens",
    "Auth",
    "Counts",
    "Grant",
    "Identity",
    "KnownLogins",
    "Passwords",
    "TokenCache",
    "User",
    "UserCache",
    "credential_faults",
    "email_faults",
    "email_key",
    "password_faults",
]

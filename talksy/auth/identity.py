"""Who somebody is, and what proves it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class User:
    """An account as its owner sees it."""

    id: str
    email: str
    created_at: int
    """Milliseconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What a valid token says; times in milliseconds since the epoch."""

    user_id: str
    """A guest's begins with ``gst_``: no account stands behind it."""
    family_id: str
    """The login it belongs to: revoking that ends this identity. A guest is its own."""
    issued_at: int
    expires_at: int
    scope: str
    """What it allows, as OAuth writes it: names with blanks between."""
    guest: bool = False

    @property
    def scopes(self) -> frozenset[str]:
        """The names in its ``scope``."""
        return frozenset(self.scope.split())


@dataclass(frozen=True, slots=True)
class Grant:
    """A pair of tokens."""

    access_token: str
    refresh_token: str
    expires_in: int
    """Seconds the access token lives."""
    user: User | None = None
    """Whose it is; None after a refresh."""

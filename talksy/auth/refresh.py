"""Refresh tokens: opaque, kept as a hash, and the sealing of a successor under its predecessor."""

import hashlib
import re
import secrets
from base64 import urlsafe_b64encode

from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

PREFIX = "rt_"
_FORM = re.compile(PREFIX + r"[A-Za-z0-9_-]{43}")


def new_token() -> str:
    """A token of 256 random bits."""
    return PREFIX + secrets.token_urlsafe(32)


def well_formed(token: str) -> bool:
    """Whether this could be a token of ours: a cheap no to megabytes and to access tokens."""
    return _FORM.fullmatch(token) is not None


def digest(token: str) -> str:
    """What is kept of a token: SHA-256 in hex, enough for 256 random bits, salt or not."""
    return hashlib.sha256(token.encode()).hexdigest()


def seal(successor: str, predecessor: str) -> bytes:
    """``successor``, to be read only by whoever presents ``predecessor`` again."""
    return _lock(predecessor).encrypt(successor.encode())


def unseal(sealed: bytes, predecessor: str) -> str:
    """What ``seal`` kept."""
    return _lock(predecessor).decrypt(sealed).decode()


def _lock(token: str) -> Fernet:
    # No salt: the token is random and used once (RFC 5869, 3.1).
    kdf = HKDF(SHA256(), length=32, salt=None, info=b"talksy refresh successor")
    return Fernet(urlsafe_b64encode(kdf.derive(token.encode())))

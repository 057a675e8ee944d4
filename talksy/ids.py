"""Opaque, unguessable, prefixed identifiers."""

import secrets
from typing import Literal

Kind = Literal["usr", "gst", "ses", "trn", "msg", "call", "fam", "req", "node", "jti", "voi", "fct"]


def new_id(kind: Kind) -> str:
    """A new identifier such as ``ses_Wq3…``: its kind and 128 random bits, URL-safe."""
    return f"{kind}_{secrets.token_urlsafe(16)}"

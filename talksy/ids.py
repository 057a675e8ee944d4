"""Opaque, unguessable, prefixed identifiers."""

import os
from base64 import urlsafe_b64encode
from collections import deque
from typing import Literal

Kind = Literal["usr", "gst", "ses", "trn", "msg", "call", "fam", "req", "node", "jti", "voi", "fct"]

BYTES = 16
FETCHED = 256
"""So many identifiers' bytes are asked of the system at once: each call lets another thread have
the interpreter, and who connects needs three."""

_ready: deque[bytes] = deque()
# A child must not give away what its parent will.
os.register_at_fork(after_in_child=_ready.clear)


def random_text() -> str:
    """128 random bits, URL-safe: 22 characters."""
    try:
        taken = _ready.popleft()  # one thread's alone, whoever else asks
    except IndexError:
        fetched = os.urandom(BYTES * FETCHED)
        taken = fetched[:BYTES]
        _ready.extend(fetched[at : at + BYTES] for at in range(BYTES, len(fetched), BYTES))
    return urlsafe_b64encode(taken)[:-2].decode()


def new_id(kind: Kind) -> str:
    """A new identifier such as ``ses_Wq3…``: its kind and ``random_text``."""
    return f"{kind}_{random_text()}"

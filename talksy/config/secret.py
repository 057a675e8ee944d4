"""The secrets that sign tokens: which are good enough, and the one a development node makes."""

import os
import re
import secrets
import tempfile
from pathlib import Path

MIN_BYTES = 32
"""RFC 7518, section 3.2: a key for HS256 is at least as long as its hash."""

_EXAMPLES = re.compile(
    r"your(super|jwt|own)*secret|change(me|this|it|in)|replace(me|this|with)|placeholder"
    r"|(super|dev|default|test|my|jwt)secret|secretkey|example|insecure|password"
)


def weakness(secret: str) -> str | None:
    """Why production refuses ``secret``; None when it does not."""
    if len(secret.encode()) < MIN_BYTES:
        return f"is shorter than {MIN_BYTES} bytes"
    plain = re.sub(r"[\W_]", "", secret.lower())
    if _EXAMPLES.search(plain) or len(set(secret)) < 8:
        return "looks like the one of an example"
    return None


def kept_secret(folder: Path) -> str:
    """The secret in ``folder/jwt_secret``, made at the first call and readable by its owner only.

    Of several first calls at once one makes it and all return it. Raises ``OSError``.
    """
    path = folder / "jwt_secret"
    if not path.exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make(path)
    return path.read_text(encoding="ascii", errors="replace").strip()


def _make(path: Path) -> None:
    # A link appears whole or not at all, and never in the place of another.
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=".jwt_secret")
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(48) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        Path(draft).unlink()

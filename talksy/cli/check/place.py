"""What the machine gives: a folder, open files, a certificate."""

import resource
import shutil
import tempfile
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from pathlib import Path

from talksy.cli.check.findings import Finding, State
from talksy.cli.tls import Certificate, TlsError
from talksy.config import Settings

RENEW_DAYS = 14
"""A certificate that runs out sooner should have been renewed: most are, a month before."""
ROOM = 500_000_000
"""Bytes that should be free where everything is kept."""
OTHER_FILES = 100
"""Files that are open beside sockets and the database's connections."""


async def data(settings: Settings) -> AsyncGenerator[Finding]:
    """The folder for everything that is kept."""
    folder = settings.data_dir
    if fault := unwritable(folder):
        hint = "set DATA_DIR to a folder of the user that Talksy runs as"
        yield Finding("data", "failed", f"{folder} cannot be written: {fault}", hint)
        return
    yield Finding("data", "ok", f"{folder.resolve()} can be written")
    free = shutil.disk_usage(folder).free
    if free < ROOM:
        yield Finding("data", "risky", f"only {free // 1_000_000} MB are free in {folder}")
    if folder.stat().st_mode & 0o007:
        yield Finding(
            "data", "risky", f"{folder} is open to every user", f"chmod o-rwx {folder.resolve()}"
        )


def unwritable(folder: Path) -> str | None:
    """Why nothing can be written to ``folder``, which is made if need be; None where it can."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return None
    except OSError as error:
        return error.strerror or type(error).__name__


async def files(settings: Settings) -> AsyncGenerator[Finding]:
    """How many files the process may have open, each socket being one."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = settings.max_sessions_per_node + settings.database_pool_size + OTHER_FILES
    # A developer's terminal allows few, and needs no more.
    if settings.talksy_env != "production" or allowed in (-1, resource.RLIM_INFINITY):
        return
    if allowed < wanted:
        yield Finding(
            "files",
            "risky",
            f"{allowed} may be open, and MAX_SESSIONS_PER_NODE={settings.max_sessions_per_node} "
            f"needs {wanted}: beyond them nobody can connect",
            "raise it (ulimit -n, LimitNOFILE= of systemd, ulimits: of a container)",
        )


async def tls(settings: Settings) -> AsyncGenerator[Finding]:
    """The certificate, where it serves https itself."""
    if not settings.tls_cert or not settings.tls_key:
        return
    try:
        until = Certificate(settings.tls_cert, settings.tls_key).expires_at
    except TlsError as error:
        yield Finding("tls", "failed", str(error))
        return
    left = until - datetime.now(UTC)
    state: State = "ok" if left.days >= RENEW_DAYS else "risky" if left.days >= 0 else "failed"
    verb = "ran out" if state == "failed" else "is good until"
    hint = None if state == "ok" else "renew it: a running server picks up the new files"
    yield Finding("tls", state, f"the certificate {verb} {until:%Y-%m-%d %H:%M} UTC", hint)
    if settings.tls_key.stat().st_mode & 0o077:
        yield Finding("tls", "risky", "the key is open to others", f"chmod 600 {settings.tls_key}")

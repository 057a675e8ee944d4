"""A `talksy serve` of its own, for when no server was named."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV")
STOP_SECONDS = 15.0
ROOMY: Mapping[str, object] = {
    "AI_PROVIDER": "mock",
    "AI_MOCK_DIRECTIVES": "yes",
    "AI_MOCK_RESPONSE_DELAY_MS": 0,
    "STT_PROVIDER": "mock",
    "TTS_PROVIDER": "mock",
    "TOOL_MODULES": "loadtests.tools",
    # A fourth of what passwords cost by default: they are worked on all the time here.
    "BCRYPT_ROUNDS": 10,
    # Little enough to be met on purpose, and more than ten users of an account ever say.
    "RATE_LIMIT_MAX_REQUESTS": 200,
    "RATE_LIMIT_WINDOW_MS": 10_000,
    # All users come from one address, several with one account.
    "RATE_LIMIT_READS_PER_MINUTE": 1_000_000,
    "AUTH_REGISTER_PER_MINUTE": 1_000_000,
    "AUTH_LOGIN_PER_MINUTE": 1_000_000,
    "MAX_SOCKETS_PER_ADDRESS": 100_000,
    "MAX_SOCKETS_PER_USER": 100_000,
    "MAX_SESSIONS_PER_USER": 100_000,
    "MAX_SESSIONS_PER_NODE": 100_000,
    "TOOL_MAX_CONCURRENT_PER_USER": 1_000,
    "TOOL_MAX_CONCURRENT_PER_NODE": 1_000,
    "VOICE_MAX_STREAMS": 1_000,
}
"""What a server needs for a crowd; docs/load-testing.md explains it."""


class NotStarted(Exception):
    """What the run is for did not start; why."""


@contextmanager
def running_server(settings: Mapping[str, object] | None = None) -> Iterator[str]:
    """The address of a server on SQLite in a temporary folder, which ends with this."""
    with tempfile.TemporaryDirectory(prefix="talksy-load-") as folder:
        own = {"HOST": "127.0.0.1", "PORT": 0, "DATA_DIR": folder, "LOG_FORMAT": "json"}
        environment = {name: os.environ[name] for name in INHERITED if name in os.environ}
        environment["PYTHONPATH"] = str(ROOT)
        environment |= {n: str(v) for n, v in {**ROOMY, **own, **(settings or {})}.items()}
        log = Path(folder) / "server.log"
        with log.open("w", encoding="utf-8") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "talksy", "serve"],
                stdout=file,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env=environment,
                start_new_session=True,  # Ctrl-C is for the run, whose last turns it still serves
            )
        try:
            yield _listening(process, log)
        finally:
            _stop(process)


def _listening(process: subprocess.Popen[bytes], log: Path) -> str:
    while True:
        for line in log.read_text(encoding="utf-8").splitlines():
            if url := _address(line):
                return url
        try:
            process.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
        raise NotStarted(log.read_text(encoding="utf-8")[-2_000:])


def _address(line: str) -> str:
    try:
        told = json.loads(line)
    except ValueError:
        return ""
    return str(told["url"]) if told.get("event") == "listening" else ""


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()

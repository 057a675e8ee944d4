"""A real ``talksy serve`` process to test against, as anybody would start it.

async with running_server(RATE_LIMIT_MAX_REQUESTS=3) as server:
    … server.url …
# it was told to stop, ended cleanly, and logged no error
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.postgres import postgres_of
from tests.redis import redis_of

DEFAULTS: Mapping[str, object] = {
    "HOST": "127.0.0.1",
    "PORT": 0,
    "BCRYPT_ROUNDS": 4,
    "AI_PROVIDER": "mock",
    "AI_MOCK_RESPONSE_DELAY_MS": 0,
    "LOG_FORMAT": "json",
    "JWT_SECRET": "only-for-tests-" + 32 * "x",
    "RATE_LIMIT_MAX_REQUESTS": 1_000,
    "AUTH_REGISTER_PER_MINUTE": 1_000,
    "AUTH_LOGIN_PER_MINUTE": 1_000,
    "MAX_SOCKETS_PER_ADDRESS": 1_000,
    "SHUTDOWN_TIMEOUT_MS": 1_000,
    "VOICE_WARM_DETECTORS": 0,
}
"""What a test may overrule by name. The limits are out of the way of tests that are not about
them."""

START_SECONDS = 30.0
STOP_SECONDS = 20.0
INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV", "PYTHONPATH", "PYTHONWARNINGS")

Line = dict[str, Any]


@dataclass
class Server:
    """A running server. ``log`` holds its log lines so far, each a parsed JSON object."""

    process: subprocess.Popen[str]
    data_dir: Path
    url: str = ""
    log: list[Line] = field(default_factory=list)
    noise: list[str] = field(default_factory=list)
    """Output that is no JSON line, such as a traceback at start."""
    _news: threading.Condition = field(default_factory=threading.Condition)
    stopping: bool = False
    _closed: bool = False

    def terminate(self) -> None:
        """SIGTERM: it drains, then ends. A second one ends it at once."""
        self.stopping = True
        self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL: it ends in the middle of whatever it does."""
        self.process.kill()

    async def logged(self, event: str, seconds: float = STOP_SECONDS, **fields: object) -> Line:
        """The first log line with this event and these fields, as soon as it is there."""
        return await asyncio.to_thread(self._await_line, {"event": event, **fields}, seconds)

    async def ended(self, seconds: float = STOP_SECONDS) -> int:
        """The exit code, once the process has ended; negative is the signal that ended it."""
        return await asyncio.to_thread(self.process.wait, seconds)

    def complaints(self) -> list[Line]:
        """Log lines at level error or critical."""
        return [line for line in self.log if line.get("level") in ("error", "critical")]

    def _await_line(self, fields: Line, seconds: float) -> Line:
        def found() -> Iterator[Line]:
            return (line for line in self.log if fields.items() <= line.items())

        with self._news:
            self._news.wait_for(lambda: self._closed or any(found()), seconds)
            line = next(found(), None)
        if line is None:
            raise AssertionError(f"no {fields} in its log:\n{self.log}\n{''.join(self.noise)}")
        return line

    def _read(self) -> None:
        """Runs in a thread of its own, so that the pipe never fills while no loop runs."""
        assert self.process.stdout is not None
        for text in self.process.stdout:
            with self._news:
                try:
                    self.log.append(json.loads(text))
                except ValueError:
                    self.noise.append(text)
                self._news.notify_all()
        with self._news:
            self._closed = True
            self._news.notify_all()


@asynccontextmanager
async def running_server(
    *arguments: str, accept: Callable[[Line], bool] = lambda _line: False, **settings: object
) -> AsyncIterator[Server]:
    """A server with ``settings``, which stand for environment variables, and ``arguments`` of the
    command line; ready when entered.

    On leaving it is told to stop, if it has not ended yet: then it must end with 0. Log lines at
    level error fail the test unless ``accept`` says yes to them. Its data folder is temporary
    unless ``DATA_DIR`` is given.
    """
    with tempfile.TemporaryDirectory(prefix="talksy-") as folder:
        environment = {
            name: value
            for name, value in os.environ.items()
            if name in INHERITED or name.startswith("COVERAGE_")
        }
        chosen = {**DEFAULTS, "DATA_DIR": folder, **settings}
        if os.environ.get("TALKSY_TEST_E2E_DATABASE") == "postgres":
            chosen.setdefault("DATABASE_URL", await postgres_of(Path(str(chosen["DATA_DIR"]))))
        if transport := os.environ.get("TALKSY_TEST_E2E_TRANSPORT"):
            chosen.setdefault("SOCKETIO_TRANSPORT", transport)
        if os.environ.get("TALKSY_TEST_E2E_REDIS") == "1":
            # One that is taken over ends after its lease: not too long after.
            where = await asyncio.to_thread(redis_of, Path(str(chosen["DATA_DIR"])))
            chosen = {"REDIS_URL": where, "NODE_LEASE_MS": 1_000, **chosen}
        environment |= {name: str(value) for name, value in chosen.items()}
        process = subprocess.Popen(  # noqa: ASYNC220 (it returns at once, and outlives any loop)
            [sys.executable, "-m", "talksy", "serve", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=folder,
            env=environment,
        )
        server = Server(process, Path(str(chosen["DATA_DIR"])))
        reader = threading.Thread(target=server._read, daemon=True)
        reader.start()
        try:
            server.url = str((await server.logged("listening", START_SECONDS))["url"])
            yield server
            if process.poll() is None:
                if not server.stopping:
                    server.terminate()
                assert await server.ended() == 0, (server.log[-20:], server.noise)
            await asyncio.to_thread(reader.join)
            assert not server.noise, "".join(server.noise)
            unexpected = [line for line in server.complaints() if not accept(line)]
            assert not unexpected, unexpected
        finally:
            process.kill()
            await asyncio.to_thread(process.wait)
            await asyncio.to_thread(reader.join)
            if process.stdout is not None:
                process.stdout.close()

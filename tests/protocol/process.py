"""Servers of our transport as processes, and what they take of the machine."""

import asyncio
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

START_SECONDS = 30.0
STOP_SECONDS = 10.0
LISTENS = re.compile(r"Running on (https?)://localhost:(\d+)")
FAULTS = ("[error", "[critical", "Traceback")
"""What a line has that tells of a fault of ours."""


@dataclass
class App:
    """A running server. ``lines`` is what it has said so far."""

    process: subprocess.Popen[str]
    loop: str
    scheme: str = ""
    port: int = 0
    lines: list[str] = field(default_factory=list)
    _heard: int = 0
    _news: threading.Condition = field(default_factory=threading.Condition)

    @property
    def url(self) -> str:
        return f"{self.scheme}://localhost:{self.port}"

    def resident(self) -> float:
        """Its memory in MB."""
        told = subprocess.run(
            ["ps", "-o", "rss=", "-p", str(self.process.pid)], capture_output=True, check=True
        )
        return int(told.stdout) / 1024

    async def said(self, words: str) -> None:
        """Returns when a line has these words that came since this was called the last time."""
        assert await asyncio.to_thread(self._await_words, words), "".join(self.lines[-50:])

    def _await_words(self, words: str) -> bool:
        with self._news:
            found = self._news.wait_for(lambda: self._find(words), START_SECONDS)
            self._heard = len(self.lines)
            return found

    def _find(self, words: str) -> bool:
        return any(words in line for line in self.lines[self._heard :])

    def faults(self) -> list[str]:
        """The lines that tell of a fault of ours."""
        return [line for line in self.lines if any(mark in line for mark in FAULTS)]

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._news:
                self.lines.append(line)
                if found := LISTENS.search(line):
                    self.scheme, self.port = found[1], int(found[2])
                self._news.notify_all()
        with self._news:
            self._news.notify_all()

    def _listening(self) -> bool:
        with self._news:
            self._news.wait_for(lambda: self.port or self.process.poll() is not None, START_SECONDS)
        return self.port > 0


@contextmanager
def running(module: str, loop: str = "uvloop", *arguments: str) -> Iterator[App]:
    """``module`` on a port of its own, told so by ``argv[1]``; ready when entered.

    On leaving it is told to stop, and must have logged no error.
    """
    command = [sys.executable, "-W", "error", "-m", module, "0", *arguments]
    process = subprocess.Popen(
        [*command, *(["--asyncio"] if loop == "asyncio" else [])],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    app = App(process, loop)
    reader = threading.Thread(target=app._read, daemon=True)
    reader.start()
    try:
        assert app._listening(), "".join(app.lines)
        yield app
        process.terminate()
        assert process.wait(STOP_SECONDS) == 0, "".join(app.lines[-50:])
        reader.join()
        assert not app.faults(), "".join(app.lines)
    finally:
        process.kill()
        process.wait()
        reader.join()
        if process.stdout is not None:
            process.stdout.close()

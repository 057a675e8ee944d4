"""Three nodes behind a balancer, which may restart one after another, over and over."""

import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from loadtests.server import ROOT, NotStarted

NODES = 3
FIRST_SECONDS, REST_SECONDS = 15.0, 5.0
"""Before the first restart, for all users to come, and between two."""
STOP_SECONDS = 60.0
_NODE = re.compile(r"node \d\s+(\S+)")


@dataclass
class Fleet:
    """``python -m tests.fleet`` of this checkout, which obeys by lines on its stdin."""

    process: "subprocess.Popen[str]"
    url: str
    nodes: list[str] = field(default_factory=list)
    restarts: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)

    def roll(self) -> None:
        """Restarts node after node, until the fleet is let go."""
        self._stop.wait(FIRST_SECONDS)
        while not self._stop.is_set():
            self._say(f"restart {self.restarts % NODES + 1}")
            if not self._heard("done"):
                return
            self.restarts += 1
            print(f"a node has restarted ({self.restarts})", flush=True)
            self._stop.wait(REST_SECONDS)

    def let_go(self) -> None:
        """No restart after the present one."""
        self._stop.set()

    def _say(self, line: str) -> None:
        if self.process.stdin is not None:
            self.process.stdin.write(f"{line}\n")
            self.process.stdin.flush()

    def _heard(self, word: str) -> bool:
        return any(line.startswith(word) for line in iter(self.readline, ""))

    def readline(self) -> str:
        """What the fleet says next; empty when it has ended."""
        return self.process.stdout.readline() if self.process.stdout is not None else ""


@contextmanager
def running_fleet(*, rolls: bool) -> Iterator[Fleet]:
    """A fleet; where it ``rolls``, its nodes restart in turn. Raises ``NotStarted``."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "tests.fleet", "--port", str(_free_port())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        start_new_session=True,  # Ctrl-C is for the run, whose last turns it still serves
    )
    fleet = Fleet(process, "")
    try:
        _begun(fleet)
        rolling = threading.Thread(target=fleet.roll, daemon=True)
        if rolls:
            rolling.start()
        yield fleet
        fleet.let_go()
        if rolls:
            rolling.join(STOP_SECONDS)
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _begun(fleet: Fleet) -> None:
    for line in iter(fleet.readline, ""):
        if line.startswith("the fleet"):
            fleet.url = line.split()[-1]
        elif found := _NODE.search(line):
            fleet.nodes.append(found[1])
        elif line.startswith("restart 1"):
            return
    raise NotStarted("the fleet ended before it served: see what it said above")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])

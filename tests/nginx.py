"""A real nginx with the settings that we ship, as the tests start it.

with running_nginx(ports_of_the_nodes) as url:
    …
"""

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path

from tests.postgres import free_port, give, missing

CONFIGURATION = Path(__file__).parents[1] / "deploy" / "nginx.conf"
HINT = "No nginx: install it (Debian: nginx-light, macOS: nginx). TALKSY_REQUIRE_REAL=0 skips."
NODE = re.compile(r"\d+\.\d+\.\d+\.1(\d):3000")
"""A node as the file names it; what follows the last 1 is its number."""
START_SECONDS = 10.0


def find_nginx() -> str:
    """The program. Fails the test, or skips it, where there is none."""
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    if program is None:
        missing(HINT)
    return program


def settled(folder: Path, port: int, nodes: Sequence[int]) -> Path:
    """Our settings for nginx on ``port``, with everything it writes in ``folder``.

    Nothing but addresses and folders is changed. ``nodes`` are the ports of the nodes.
    """
    text = CONFIGURATION.read_text()
    text = NODE.sub(lambda found: f"127.0.0.1:{nodes[int(found[1]) - 1]}", text)
    text = text.replace("/tmp/", f"{folder}/").replace("listen 8080;", f"listen 127.0.0.1:{port};")
    path = folder / "nginx.conf"
    path.write_text(text)
    give(folder, path)
    return path


@contextmanager
def running_nginx(nodes: Sequence[int], port: int = 0) -> Iterator[str]:
    """Its URL, when it answers."""
    program, port = find_nginx(), port or free_port()
    with tempfile.TemporaryDirectory(prefix="talksy-nginx-") as name:
        path = settled(Path(name), port, nodes)
        process = subprocess.Popen(
            [program, "-c", str(path), "-p", name, "-e", "stderr", "-g", "daemon off;"],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            _await(process, port)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait()


def _await(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        connection = HTTPConnection("127.0.0.1", port)
        with suppress(OSError):
            connection.connect()
            connection.close()
            return
        time.sleep(0.02)
    raise AssertionError("nginx does not start: what it says is above")

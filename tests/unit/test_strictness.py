"""The suite is strict by itself: what a test leaves behind fails it."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

CARELESS = """
import asyncio
import gc
import time
import warnings
import pytest

async def test_clean() -> None:
    await asyncio.sleep(0)

async def test_ends_its_tasks_late() -> None:
    asyncio.get_running_loop().call_later(0.01, asyncio.create_task(asyncio.sleep(9)).cancel)

async def test_leaves_a_task() -> None:
    test_leaves_a_task.kept = asyncio.create_task(asyncio.sleep(9), name="forgotten")

async def test_leaves_a_failure() -> None:
    async def fail() -> None:
        raise LookupError("nobody listens")
    task = asyncio.create_task(fail())
    await asyncio.wait([task])
    del task
    gc.collect()

async def test_blocks_the_loop() -> None:
    until = time.thread_time() + 1.5
    while time.thread_time() < until:
        pass

async def test_warns() -> None:
    warnings.warn("careless")

@pytest.fixture
async def open_ended():
    task = asyncio.create_task(asyncio.sleep(9), name="of the fixture")
    yield
    test_uses_a_careless_fixture.kept = task

async def test_uses_a_careless_fixture(open_ended) -> None:
    pass
"""


def test_leaked_tasks_unheard_failures_a_blocked_loop_and_warnings_fail(tmp_path: Path) -> None:
    (tmp_path / "test_careless.py").write_text(CARELESS)
    options = ["-p", "no:cacheprovider", "-p", "tests.conftest", "-q", "--tb=line"]
    places = ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(tmp_path), str(tmp_path)]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *places],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert set(re.findall(r"^(?:ERROR|FAILED) .*::(\w+)", run.stdout, re.MULTILINE)) == {
        "test_leaves_a_task",
        "test_leaves_a_failure",
        "test_blocks_the_loop",
        "test_warns",
        "test_uses_a_careless_fixture",
    }, run.stdout + run.stderr
    for told in (
        "left running: <Task pending name='forgotten'",
        "left running: <Task pending name='of the fixture'",
        "unheard: Task exception was never retrieved LookupError('nobody listens')",
        "held the loop for",
        "UserWarning: careless",
    ):
        assert told in run.stdout

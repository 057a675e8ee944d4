"""An hour of silence, as fast as it goes, in a process whose memory nobody else has used."""

import subprocess
import sys

import pytest

HOUR = """
import random, resource, sys
from talksy.ai.vad import open_detector
from talksy.voice import Endpointer, TurnDetection

chance = random.Random(7)
second = b"".join(chance.randint(-3, 3).to_bytes(2, "little", signed=True) for _ in range(16_000))
detector, endpointer = open_detector(sys.argv[1]), Endpointer(TurnDetection())

def listen(seconds):
    for _ in range(seconds):
        for frame in detector.hear(second):
            assert endpointer.hear(frame) == []

listen(120)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
listen(3_480)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
KILOBYTE = 1_024 if sys.platform == "darwin" else 1
"""As the platform counts it."""


@pytest.mark.parametrize("name", ["energy", "webrtc", "combined"])
def test_an_hour_of_silence_leaves_nothing_behind(name: str) -> None:
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", HOUR, name],
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert run.returncode == 0, run.stderr
    assert int(run.stdout.split()[-1]) <= 256 * KILOBYTE

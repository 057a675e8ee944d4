"""A little of what ``make soak`` does at length, in a process whose memory nobody else has used."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
MINUTES = 12


def soaked(*options: object) -> subprocess.CompletedProcess[str]:
    """What ``make soak`` said with the mock engines."""
    command = [sys.executable, "-W", "error", "-m", "tests.soak", "--engines", "mock"]
    return subprocess.run(
        [*command, *map(str, options)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=55,
    )


def test_minutes_of_talk_and_silence_leave_nothing_behind() -> None:
    hours = ("--hours", MINUTES / 60, "--every", 0.1, "--growth", 2)
    run = soaked(*hours, "--only", "talk", "silence")
    assert run.returncode == 0, run.stdout + run.stderr
    told = re.findall(r"(\d+) utterances, (\d+) answers heard, (\d+) cut short", run.stdout)
    utterances, heard, cut = map(int, told[-1])
    assert utterances == heard + cut
    assert heard
    assert cut


def test_growth_is_judged_however_short_it_is_and_however_seldom_it_reports() -> None:
    run = soaked("--hours", 0.01, "--every", 1, "--growth", -100, "--only", "silence")
    assert run.returncode == 1, run.stdout + run.stderr
    *reports, growth = run.stdout.splitlines()
    assert [line.split()[0] for line in reports] == ["after", "after"]
    assert growth.endswith("MB more are held than at the first report")


def test_some_time_must_go_by() -> None:
    run = soaked("--every", 0)
    assert run.returncode == 2
    assert "argument --every: 0 is not a number above 0" in run.stderr

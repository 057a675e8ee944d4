"""Each threshold fails a run that is beyond it, and no run is green that measured nothing."""

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from loadtests.options import MIXES
from loadtests.thresholds import (
    TABLE,
    Row,
    Sample,
    Samples,
    Threshold,
    broken,
    judged,
    since,
)
from loadtests.verdict import Verdict, lag_line


def samples(ms: int = 1, failures: int = 0, *, without: str = "-") -> Samples:
    """Everything of the table was measured a hundred times, but for one name."""
    sample = Sample(100, failures, {ms: 100})
    return {(each.type, each.name): sample for each in TABLE if each.name != without}


def rows(given: Samples, **how: Any) -> list[Row]:
    return judged(given, MIXES["smoke"], hits=(100, 100), **how)


def test_what_is_within_all_bounds_is_green() -> None:
    verdict = Verdict(rows(samples()))
    assert verdict.ok
    assert verdict.text().endswith("\nGREEN")


def test_what_takes_too_long_is_red_unless_it_is_forgiven() -> None:
    slow = [row for row in rows(samples(ms=9_000)) if not row.ok]
    assert {row.threshold.unit for row in slow} == {"ms"}
    assert len(slow) == sum(row.threshold.unit == "ms" for row in rows(samples()))
    assert all(row.ok for row in rows(samples(ms=9_000), slack=200.0))


def test_what_fails_is_red_and_one_fault_is_enough() -> None:
    one = {row.threshold.name for row in rows(samples(failures=1)) if not row.ok}
    assert one == {row.threshold.name for row in rows(samples()) if row.threshold.unit == ""}
    two = {row.threshold.statistic for row in rows(samples(failures=2)) if not row.ok}
    assert two == {"faults", "success"}


@pytest.mark.parametrize("name", ["limiter", "lost", "history", "answer", "/auth/me cold", "sound"])
def test_what_was_not_measured_is_red_by_name(name: str) -> None:
    missing = {row.threshold.name for row in rows(samples(without=name)) if not row.ok}
    assert missing == {name}
    word = Verdict(rows(samples(without=name))).text().splitlines()[-1]
    assert word == f"RED: {name}: nothing was measured"


def test_a_run_without_anything_is_red() -> None:
    assert not Verdict([]).ok
    assert not Verdict(rows({})).ok


def test_what_nobody_came_for_is_not_asked_for() -> None:
    names = {row.threshold.name for row in judged(samples(), ("chat",))}
    assert "answer" in names
    assert not names & {"limiter", "tool", "stream start", "/auth/login"}


def test_in_storms_times_do_not_count_and_losses_do() -> None:
    found = judged(samples(), ("stream", "resume"), steady=False)
    assert {row.threshold.unit for row in found} == {"", "%"}
    assert {"lost", "repeated", "endings", "answers"} <= {row.threshold.name for row in found}
    assert "hang-ups" not in {row.threshold.name for row in found}


@pytest.mark.parametrize(("hits", "ok"), [((80, 100), True), ((79, 100), False), ((0, 0), False)])
def test_the_share_of_hits_must_be_measured_and_enough(hits: tuple[int, int], ok: bool) -> None:
    (row,) = (r for r in judged(samples(), ("account",), hits=hits) if r.threshold.type == "CACHE")
    assert row.ok is ok


@pytest.mark.parametrize(
    ("statistic", "value", "holds"),
    [("p95", 10, True), ("p95", 11, False), ("success", 9.9, False), ("faults", math.nan, False)],
)
def test_a_bound_is_itself_still_good(statistic: Any, value: float, holds: bool) -> None:
    assert Threshold("SIO", "x", statistic, 10).holds(value) is holds


def test_one_outlier_of_few_is_no_percentile_and_two_of_twenty_are() -> None:
    def p95(*times: int) -> float:
        return Sample(len(times), 0, Counter(times)).value("p95")

    assert p95(9_000) == 9_000
    assert p95(1, 9_000) == 1
    assert p95(*18 * [1], 9_000, 9_000) == 9_000


def test_a_step_is_judged_by_what_came_in_it() -> None:
    slow = since(samples(ms=9_000), samples(ms=9_000))
    assert not broken(judged(slow, ("chat",)), 20)
    assert {row.threshold.name for row in broken(judged(samples(ms=9_000), ("chat",)), 20)} >= {
        "ack",
        "answer",
    }
    assert not broken(judged(samples(ms=9_000), ("chat",)), 101)


def test_a_trouble_is_red_whatever_was_measured(tmp_path: Path) -> None:
    verdict = Verdict(rows(samples(failures=1, without="sound")), ["the server died"])
    assert verdict.text().splitlines()[-1].startswith("RED: the server died; ")
    assert not Verdict(rows(samples()), ["the server died"]).ok
    verdict.write(str(tmp_path / "out"))
    told = json.loads((tmp_path / "out_thresholds.json").read_text())
    assert told["ok"] is False
    assert told["troubles"] == ["the server died"]
    assert (tmp_path / "out_thresholds.csv").read_text().count("\n") == len(told["thresholds"]) + 1


@pytest.mark.parametrize(("ms", "said"), [(50, False), (60, True)])
def test_a_generator_that_is_late_says_so(ms: int, said: bool) -> None:
    assert bool(lag_line({("SELF", "generator lag"): Sample(100, 0, {ms: 100})})) is said
    assert not lag_line({})

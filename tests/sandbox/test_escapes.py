"""Nothing gets out of the sandbox: as root and as an ordinary user, with namespaces and without."""

import fcntl
import json
import os
import sys
from collections.abc import Callable
from functools import cache

import pytest

from tests.sandbox.__main__ import told_of
from tests.sandbox.attempts import ATTEMPTS, Attempt
from tests.sandbox.places import PLACES, possible
from tests.sandbox.run import Report

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it holds on Linux alone")

POSSIBLE = [place.name for place in possible()]
Reports = Callable[[str], Report]


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Reports:
    """What came of the attempts in a place: made once, by whichever worker comes first."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent

    @cache
    def report(place: str) -> Report:
        with (shared / f"escapes as {place}.json").open("a+") as kept:
            fcntl.flock(kept, fcntl.LOCK_EX)
            kept.seek(0)
            if (told := kept.read()) == "":
                told = told_of(place)
                kept.write(told)
            return Report.of(json.loads(told))

    return report


@pytest.mark.parametrize("place", POSSIBLE)
@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda attempt: f"{attempt.area}: {attempt.name}")
def test_an_attempt_is_contained(attempt: Attempt, place: str, report: Reports) -> None:
    (outcome,) = (each for each in report(place).outcomes if each.attempt == attempt)
    assert outcome.contained, outcome.said


@pytest.mark.parametrize("place", POSSIBLE)
def test_the_place_is_what_it_says(place: str, report: Reports) -> None:
    """Who runs the tools is no root, and without namespaces there are none."""
    told = report(place)
    assert (told.user == 0) == place.startswith("root")
    assert ("another user" in told.layers) == place.startswith("root")
    assert (told.missing is not None) == ("no namespaces" in place)
    assert ("own root" in told.layers) == (told.missing is None)


def test_the_places_that_are_not_tried_are_told(capfd: pytest.CaptureFixture[str]) -> None:
    """Who is no root can be an ordinary user alone."""
    missed = [place.name for place in PLACES if place.name not in POSSIBLE]
    with capfd.disabled():
        if missed:
            print(f"\nescapes: not tried as {', '.join(missed)}, for want of root")
    assert bool(missed) == (os.geteuid() != 0)

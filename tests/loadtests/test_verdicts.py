"""A load test is green where all is well, and red, for the right reason, where something is not."""

import json
import re
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from tests.loadtests.conftest import ended, loaded, loading, roomy
from tests.loadtests.meddler import (
    Meddle,
    Silencer,
    broken,
    dropped,
    meddling,
    nameless,
    swapped,
    twice,
)
from tests.server import Server

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(90)]

FEW = ("--users", "3", "--run-time", "2s")
RESUMES = ("--run-time", "2s", "--mix", "resume=1")


async def test_everybody_is_well_served_by_a_server_of_its_own(tmp_path: Path) -> None:
    out = tmp_path / "out"
    ran = await loaded("--users", "14", "--run-time", "10s", "--csv", str(out))
    assert (ran.code, ran.last) == (0, "GREEN"), ran.said
    told = json.loads((tmp_path / "out_thresholds.json").read_text())
    assert told["ok"]
    measured = {row["name"] for row in told["thresholds"] if row["samples"]}
    assert measured >= {"lost", "approvals", "limiter", "sound", "mouth to ear", "auth cache hits"}
    assert len((tmp_path / "out_thresholds.csv").read_text().splitlines()) > 50


async def test_two_processes_are_one_run(server: Server) -> None:
    """Each makes accounts of its own, and what both use of the processor is told."""
    arguments = ("--users", "4", "--run-time", "3s", "--mix", "account=1,chat=1")
    ran = await loaded("--host", server.url, *arguments, "--processes", "2")
    assert (ran.code, ran.last) == (0, "GREEN"), ran.said
    used = re.findall(r"^worker \S+: ([\d.]+) of a core$", ran.said, re.MULTILINE)
    assert len(used) == 2
    assert sum(map(float, used)) > 0


async def test_an_answer_that_breaks_off_is_told(server: Server) -> None:
    ran = await loaded("--host", server.url, *FEW, "--mix", "stream=1", LOAD_SAY="fail_after=5")
    assert ran.code == 1
    assert "answers: it ended failed with PROVIDER_UNAVAILABLE" in ran.said
    assert ran.last.startswith("RED: ")
    assert "answers faults" in ran.last
    assert "lost" not in ran.last


@pytest.mark.parametrize(
    ("meddle", "found"),
    [
        (dropped, {"lost"}),
        (twice, {"repeated"}),
        (swapped, {"lost", "repeated"}),
        (nameless, {"events", "lost"}),
        (broken, {"events", "lost"}),
    ],
)
async def test_one_frame_that_a_proxy_meddles_with_is_told(
    server: Server, meddle: Meddle, found: set[str]
) -> None:
    async with meddling(server.url, meddle) as meddler:
        ran = await loaded("--host", meddler.url, *FEW, "--mix", "stream=1")
        assert meddler.done
    assert ran.code == 1
    failed = {fault.split()[0] for fault in ran.last.removeprefix("RED: ").split("; ")}
    assert failed == found, ran.said
    assert "Traceback" not in ran.said


async def test_an_answer_that_never_ends_for_who_came_back_is_told(server: Server) -> None:
    """Half a minute is waited for what does not come."""
    async with meddling(server.url, swapped, Silencer) as meddler:
        ran = await loaded("--host", meddler.url, "--users", "1", *RESUMES)
        assert meddler.done
    assert ran.code == 1
    told = {fault.split()[0] for fault in ran.last.removeprefix("RED: ").split("; ")}
    assert told >= {"endings", "unanswered", "resume", "tasks"}, ran.said


async def test_a_process_of_the_load_test_that_dies_is_told() -> None:
    """What it would have found is missing."""
    async with roomy() as server:
        arguments = ("--users", "4", "--run-time", "14s", "--mix", "chat=1", "--processes", "2")
        async with loading("--host", server.url, *arguments) as process:
            await server.logged("turn_ended")
            (locust,) = psutil.Process(process.pid).children()
            locust.children()[0].kill()
            ran = await ended(process)
    assert ran.code == 1
    assert "1 of 2 processes of the load test went in mid-run" in ran.last, ran.said


async def test_a_limiter_that_is_off_by_one_is_told(strict: Server) -> None:
    ran = await loaded("--host", strict.url, *FEW, "--mix", "limiter=1", LOAD_LIMIT="30")
    assert ran.code == 1
    assert "limiter: 31 were let through, 30 are meant to be" in ran.said
    assert ran.last.startswith("RED: limiter faults")


@pytest.mark.parametrize(
    ("off", "says"), [(1, "41 were let through, 40 are"), (-1, "only 39 were let through, 40 are")]
)
async def test_a_limiter_that_states_another_number_than_it_keeps_is_told(
    off: int, says: str
) -> None:
    wrong = {"TOOL_MODULES": "tests.loadtests.off_by_one", "OFF_BY": off}
    async with roomy(RATE_LIMIT_MAX_REQUESTS=40, **wrong) as server:
        ran = await loaded("--host", server.url, *FEW, "--mix", "limiter=1")
    assert ran.code == 1
    assert f"limiter: {says}" in ran.said
    assert ran.last.startswith("RED: limiter faults")


async def test_what_is_too_slow_is_told(server: Server) -> None:
    """An answer of a few tokens takes a second and more, half a second is what it may take."""
    arguments = ("--host", server.url, *FEW, "--mix", "chat=1")
    ran = await loaded(*arguments, LOAD_SLACK="1", LOAD_SAY="delay_ms=400")
    assert ran.code == 1
    assert "answer p95" in ran.last, ran.said
    assert not {"lost", "repeated", "endings", "answers"} & set(ran.last.split())


async def test_a_ramp_ends_where_answers_come_too_late(server: Server) -> None:
    """Who waits for long asks seldom: a few answers are enough to tell."""
    arguments = ("--shape", "ramp", "--users", "40", "--mix", "chat=1")
    slow = {"LOAD_STEP": "20", "LOAD_STEP_SECONDS": "8", "LOAD_SLACK": "1"}
    ran = await loaded("--host", server.url, *arguments, LOAD_SAY="delay_ms=600", **slow)
    assert ran.code == 1
    assert "at 20 users" in ran.said
    assert "capacity: 0 users" in ran.said
    assert ran.last == "RED: not even the first step was borne"


async def test_everybody_comes_back_after_a_storm(server: Server) -> None:
    ran = await loaded("--host", server.url, "--shape", "storm", "--users", "5")
    assert (ran.code, ran.last) == (0, "GREEN"), ran.said
    assert "the storm: 5 clients were cut off at once, the last was back after" in ran.said


async def test_a_limit_that_is_met_in_mid_run_is_named(strict: Server) -> None:
    arguments = ("--host", strict.url, "--users", "5", "--run-time", "30s", "--mix", "stream=1")
    ran = await loaded(*arguments)
    assert ran.code == 1
    assert "raise MAX_SOCKETS_PER_USER" in ran.last, ran.said


async def test_a_limit_of_microphones_is_named() -> None:
    async with roomy(VOICE_MAX_STREAMS=1) as server:
        arguments = ("--users", "3", "--run-time", "30s", "--mix", "speak=1")
        ran = await loaded("--host", server.url, *arguments)
    assert ran.code == 1
    assert "raise VOICE_MAX_STREAMS" in ran.last, ran.said


async def test_a_rolling_restart_in_which_nothing_restarted_is_red(
    server: Server, tmp_path: Path
) -> None:
    arguments = ("--shape", "rolling", *FEW, "--mix", "chat=1", "--csv", str(tmp_path / "out"))
    ran = await loaded("--host", server.url, *arguments, LOAD_METRICS=server.url)
    assert ran.code == 1
    assert ran.last == "RED: only 0 of 1 nodes restarted in that time"
    assert "GREEN" not in ran.said
    assert not json.loads((tmp_path / "out_thresholds.json").read_text())["ok"]


async def test_a_server_that_dies_in_mid_run_is_told_in_a_line() -> None:
    async with roomy() as server:
        arguments = ("--host", server.url, "--users", "3", "--run-time", "60s", "--mix", "stream=1")
        async with loading(*arguments) as process:
            await server.logged("turn_ended", chunks=30)
            server.kill()
            await server.ended()
            ran = await ended(process)
    assert ran.code == 1
    assert ran.last.startswith(f"RED: the server at {server.url} died in mid-run: ")
    assert "Traceback" not in ran.said


async def test_what_was_asked_for_and_not_measured_is_red(server: Server) -> None:
    """The second user comes only when the run is over."""
    arguments = ("--users", "2", "--run-time", "2s", "--spawn-rate", "0.1")
    ran = await loaded("--host", server.url, *arguments, "--mix", "chat=1,stream=1")
    assert ran.code == 1
    assert ": nothing was measured" in ran.last


async def test_the_round_trip_of_a_few_sessions_is_printed_in_a_line(server: Server) -> None:
    ran = await loaded("--host", server.url, "5")
    assert ran.code == 0, ran.said
    assert ran.last.startswith("5 sessions, 25 round trips in ")
    assert all(name in ran.last for name in ("mean ", "p95 ", "p99 "))


async def test_a_limit_that_is_met_by_a_few_sessions_is_named(strict: Server) -> None:
    ran = await loaded("8", "--host", strict.url, LOAD_LIMIT="31")
    assert ran.code == 1
    assert ran.last.startswith("RED: the server refuses "), ran.said
    assert "raise MAX_SOCKETS_PER_USER" in ran.last

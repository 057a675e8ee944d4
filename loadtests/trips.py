"""`python -m loadtests 50`: the round trip of so many sessions, in a line."""

import statistics
import sys
import time
from dataclasses import replace

import locust  # noqa: F401 - makes sockets wait side by side, before anything imports them
from gevent.pool import Pool as Greenlets
from locust.event import EventHook

from loadtests.accounts import POOL
from loadtests.client import Client
from loadtests.line import Hangup, Refused, Unanswered
from loadtests.options import read
from loadtests.preflight import NotReady, settled
from loadtests.report import Fault, Report
from loadtests.run import RUN
from loadtests.turn import tokens

SIDE_BY_SIDE = 50
TRIPS = 5
"""Of each session, one after the other."""


def main(url: str, sessions: int) -> int:
    """Prints what it measured; 0 where every answer came and was right."""
    options = replace(read(), mix={"chat": 1})
    report = Report(EventHook())
    try:
        settled(url, options, report)
    except NotReady as error:
        print(f"RED: {error}", file=sys.stderr)
        return 1
    faults: list[str] = []
    took: list[float] = []

    def trip(_number: int) -> None:
        try:
            client = Client(url, POOL.take(url, options.share, options.tokens), report)
            client.connect()
            for _ in range(TRIPS):
                turn = client.finish(client.say("/mock tokens=5", tokens(5), stream=False))
                if fault := turn.fault:
                    faults.append(fault)
                elif turn.ended is not None:
                    took.append(turn.ended - turn.asked)
            client.close()
        except (Refused, Hangup, Unanswered, Fault, OSError) as error:
            faults.append(f"{type(error).__name__}: {error}")

    began = time.perf_counter()
    Greenlets(SIDE_BY_SIDE).map(trip, range(sessions))
    seconds = time.perf_counter() - began
    if RUN.fatal:
        print(f"RED: {RUN.fatal}", file=sys.stderr)
        return 1
    for fault in faults[:5]:
        print(fault, file=sys.stderr)
    if len(took) < 2:
        print("RED: nothing was measured", file=sys.stderr)
        return 1
    cuts = statistics.quantiles([each * 1000 for each in took], n=100, method="inclusive")
    print(
        f"{sessions} sessions, {len(took)} round trips in {seconds:.1f} s: mean "
        f"{statistics.fmean(took) * 1000:.1f} ms, p95 {cuts[94]:.1f} ms, p99 {cuts[98]:.1f} ms"
    )
    if faults:
        print(f"RED: {len(faults)} answers or sessions were not as they must be", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1].rstrip("/"), int(sys.argv[2])))

"""`python -m loadtests`: a load test with thresholds, against a server of its own or `--host`.

`python -m loadtests 50` prints the round trip of 50 sessions, and ends. Whatever else is given goes
to Locust, such as `--csv out`, `--processes 2`, `--master`.
"""

import argparse
import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from loadtests.fleet import running_fleet
from loadtests.options import SECONDS, SHAPES, USERS, OptionError, read
from loadtests.server import ROOMY, NotStarted, running_server

LOCUSTFILE = Path(__file__).with_name("locustfile.py")
ROOT = Path(__file__).parents[1]


def main() -> int:
    """Returns the exit code: 0 where all thresholds held."""
    chosen, others = _parser().parse_known_args()
    # By its place: what belongs to an option of Locust's must not be taken for it.
    sessions = others.pop(0) if others and others[0].isdigit() else ""
    # Both must end this by way of the stack below, which ends what was started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    environment = {**os.environ, **_said(chosen)}
    try:
        options = read(environment)
        with ExitStack() as stack:
            host = chosen.host
            rolls = options.shape == "rolling"
            if host is None and (rolls or chosen.fleet):
                fleet = stack.enter_context(running_fleet(rolls=rolls))
                host, environment["LOAD_METRICS"] = fleet.url, ",".join(fleet.nodes)
            elif host is None and "--worker" not in others:
                environment.setdefault("LOAD_LIMIT", str(ROOMY["RATE_LIMIT_MAX_REQUESTS"]))
                host = stack.enter_context(running_server())
            if sessions:
                command = ["-m", "loadtests.trips", str(host), sessions]
            else:
                command = ["-m", "locust", *_arguments(chosen, host), *others]
            return _ran([sys.executable, *command], environment)
    except (OptionError, NotStarted) as error:
        print(f"RED: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m loadtests [sessions]", description=__doc__)
    parser.add_argument("--host", help="the server (one is started)")
    parser.add_argument("--shape", choices=SHAPES, help="LOAD_SHAPE, or smoke")
    parser.add_argument("--users", type=int, help=f"at most, {USERS}")
    parser.add_argument("--run-time", help=f"such as 90s or 10m, {SECONDS}")
    parser.add_argument("--fleet", action="store_true", help="start three nodes behind nginx")
    parser.add_argument("--web", action="store_true", help="start it on Locust's page")
    parser.add_argument("--mix", help="who comes, such as chat=3,stream=5, or limiter=0")
    return parser


def _said(chosen: argparse.Namespace) -> dict[str, str]:
    said = {"PYTHONPATH": str(ROOT)}
    if chosen.shape is not None:
        said["LOAD_SHAPE"] = chosen.shape
    if chosen.mix is not None:
        said["LOAD_MIX"] = chosen.mix
    return said


def _arguments(chosen: argparse.Namespace, host: str | None) -> list[str]:
    arguments = ["-f", str(LOCUSTFILE)]
    if host is not None:
        arguments += ["-H", host]
    if chosen.users is not None:
        arguments += ["-u", str(chosen.users)]
    if chosen.run_time is not None:
        arguments += ["-t", chosen.run_time]
    if chosen.web:
        arguments += ["--web-host", "localhost"]
    else:
        arguments += ["--headless", "--only-summary", "--loglevel", "WARNING"]
    return arguments


def _ran(command: list[str], environment: dict[str, str]) -> int:
    process = subprocess.Popen(command, env=environment)
    try:
        return process.wait()
    except KeyboardInterrupt:
        return process.wait()  # it was told, too, and says what it has measured
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()


if __name__ == "__main__":
    sys.exit(main())

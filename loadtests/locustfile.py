"""What Locust loads: `locust -f loadtests/locustfile.py -H http://localhost:3000`."""

import sys
from typing import Any

from locust import events
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from loadtests import people, visitors
from loadtests.accounts import POOL
from loadtests.client import TURN_SECONDS
from loadtests.options import SECONDS, USERS
from loadtests.people import OPTIONS, Person, left_out, weighed
from loadtests.preflight import NotReady, look
from loadtests.report import Report
from loadtests.run import RUN
from loadtests.shapes import Ramp, Shape
from loadtests.thresholds import Samples, counted, judged
from loadtests.verdict import Verdict, lag_line, say
from loadtests.watch import WORKERS, Meters, measure_lag, watch_server

__all__ = ["Shape"]

PEOPLE: list[type[Person]] = [
    people.Chatter,
    people.Streamer,
    people.Upgrader,
    people.Resumer,
    people.Pair,
    people.Stormer,
    visitors.Newcomer,
    visitors.Reader,
    visitors.Craftsman,
    visitors.Approver,
    visitors.Glutton,
    visitors.Speaker,
]
# Locust takes what it finds among the names of this module.
globals().update({each.__name__: each for each in weighed(OPTIONS.mix, PEOPLE)})


class Hooks:
    """What happens around a run, in the process that judges it and in those that make the load."""

    def __init__(self) -> None:
        self.runner: Any = None
        self.lag: Any = None
        self.meters: Meters | None = None
        self.verdict: Verdict | None = None
        self.workers = 0
        """How many processes made the load when it began."""

    def ready(self, environment: Environment, **_: Any) -> None:
        """Locust is there; nobody has come yet."""
        RUN.attach(environment)
        environment.stop_timeout = environment.stop_timeout or TURN_SECONDS + 10
        set_defaults(environment.parsed_options)
        if isinstance(environment.runner, WorkerRunner) or not environment.host:
            return
        try:
            check_crowd(environment)
            look(str(environment.host).rstrip("/"), OPTIONS, Report(environment.events.request))
        except NotReady as error:
            print(f"RED: {error}", file=sys.stderr, flush=True)
            sys.exit(1)

    def begin(self, environment: Environment, **_: Any) -> None:
        """A run begins."""
        RUN.begin()
        POOL.empty()
        WORKERS.begin()
        self.verdict = None
        runner = self.runner = environment.runner
        if runner is None:
            return
        if not isinstance(runner, MasterRunner):
            self.lag = runner.greenlet.spawn(measure_lag, Report(environment.events.request))
        if isinstance(runner, WorkerRunner):
            return
        self.workers = _living(runner) if isinstance(runner, MasterRunner) else 0
        url = str(environment.host).rstrip("/")
        self.meters = Meters(url, OPTIONS)
        runner.greenlet.spawn(watch_server, url, lambda: self.verdict is not None)

    def end(self, environment: Environment, **_: Any) -> None:
        """A run is over: it is judged."""
        runner = environment.runner
        if self.lag is not None:
            self.lag.kill()
        if runner is None or isinstance(runner, WorkerRunner) or self.meters is None:
            return
        samples = counted(runner.stats)
        hits = (self.meters.hits() or (0, 0)) if OPTIONS.cached else None
        rows = judged(samples, OPTIONS.mix, steady=OPTIONS.steady, hits=hits, slack=OPTIONS.slack)
        plan = getattr(environment.shape_class, "plan", None)
        troubles = self._troubles(runner, samples)
        if isinstance(plan, Ramp):
            # Until something broke is how far it is meant to go: but nothing may be lost.
            rows = [row for row in rows if row.threshold.statistic == "faults"]
            troubles += [] if plan.borne else ["not even the first step was borne"]
        if OPTIONS.shape == "rolling" and OPTIONS.metrics:
            troubles += self.meters.restarted()
        told = [*(plan.told if plan else []), *self.meters.lines(), lag_line(samples)]
        self.verdict = Verdict(rows, troubles, [line for line in told if line])
        if environment.web_ui is not None:
            say(self.verdict)
        environment.process_exit_code = 0 if self.verdict.ok else 1
        if prefix := getattr(environment.parsed_options, "csv_prefix", None):
            self.verdict.write(prefix)

    def quit(self, environment: Environment, **_: Any) -> None:
        """Somebody has had enough: what was measured so far is judged."""
        if self.verdict is None and self.meters is not None and environment.runner is not None:
            environment.runner.stop()

    def last(self, **_: Any) -> None:
        """Locust has said all it had to say."""
        if self.verdict is not None:
            say(self.verdict)

    def _troubles(self, runner: Any, samples: Samples) -> list[str]:
        troubles = [RUN.fatal] if RUN.fatal else []
        failures = list(runner.exceptions.values())[:3]
        troubles += [f"the load test itself failed: {each['msg']}" for each in failures]
        if isinstance(runner, MasterRunner) and (gone := self.workers - _living(runner)):
            troubles.append(f"{gone} of {self.workers} processes of the load test went in mid-run")
        if not any(sample.requests for (kind, _), sample in samples.items() if kind != "SELF"):
            troubles.append("nothing was measured")
        return troubles


def _living(runner: MasterRunner) -> int:
    """How many processes there are of which something was heard lately."""
    return len(runner.clients) - len(runner.clients.missing)


def check_crowd(environment: Environment) -> None:
    """Raises ``NotReady`` where there are too few users for all kinds that were asked for."""
    users = environment.parsed_options.num_users if environment.parsed_options else 0
    if users < 0:
        raise NotReady(f"{users} users cannot come: say how many in USERS")
    if users and (absent := left_out(users, environment.user_classes)):
        raise NotReady(
            f"{users} users are too few for this mix, {', '.join(absent)} would not come: "
            f"say USERS={sum(OPTIONS.mix.values())}, or whom you want, such as MIX=chat=1,stream=2"
        )


def set_defaults(chosen: Any) -> None:
    """Fills in what was not asked for: without it Locust takes one user."""
    if chosen is not None:
        chosen.num_users = chosen.num_users or USERS[OPTIONS.shape]
        chosen.spawn_rate = chosen.spawn_rate or max(10.0, chosen.num_users / 20)
        chosen.run_time = chosen.run_time or SECONDS[OPTIONS.shape]


HOOKS = Hooks()
events.init.add_listener(HOOKS.ready)
events.report_to_master.add_listener(WORKERS.report)
events.worker_report.add_listener(WORKERS.heard)
events.test_start.add_listener(HOOKS.begin)
events.test_stop.add_listener(HOOKS.end)
events.quitting.add_listener(HOOKS.quit)
events.quit.add_listener(HOOKS.last)

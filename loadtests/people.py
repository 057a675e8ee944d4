"""Who comes: each does one thing over and over, and checks all that it is given."""

import functools
import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from locust import FastHttpUser, between, task
from locust.dispatch import UsersDispatcher
from locust.runners import WorkerNode

from loadtests import options
from loadtests.accounts import POOL, Account
from loadtests.client import Client
from loadtests.line import UNREADABLE, Hangup, Refused, Unanswered
from loadtests.report import ANSWERS, BACK, EVENTS, READY, UNANSWERED, Fault, Report
from loadtests.run import RUN
from loadtests.turn import Turn, tokens

log = logging.getLogger("loadtests")

OPTIONS = options.read()
P = TypeVar("P", bound="Person")


def careful(work: Callable[[P], None]) -> Callable[[P], None]:
    """A task that counts what came in its way, and goes on with the next."""

    @functools.wraps(work)
    def worked(person: P) -> None:
        try:
            work(person)
        except (Refused, Hangup, Unanswered, Fault, OSError) as error:
            if not RUN.fatal:  # what happens while all ends says nothing
                what = f"{person.kind}: {type(error).__name__}: {error}"
                person.report.check("tasks", what)
                silent = isinstance(error, Unanswered)
                if silent:
                    person.report.check(UNANSWERED, what)
                for device in person.devices:
                    device.settle(wait=not silent)
        except UNREADABLE as error:
            log.debug("what %s was told", person.kind, exc_info=True)
            what = f"an answer cannot be read: {type(error).__name__}: {error}"
            person.report.check(EVENTS, what, f"({person.kind})")
        else:
            person.report.check("tasks")

    return worked


def mock(count: int, delay_ms: int = 0) -> tuple[str, str]:
    """A question for the mock model, and what it must answer."""
    pace = f" delay_ms={delay_ms}" if delay_ms else ""
    return f"/mock tokens={count}{pace} {OPTIONS.say}".strip(), tokens(count)


class Person(FastHttpUser):
    """Somebody with an account. ``kind`` is its name in the mix."""

    abstract = True
    kind = ""
    turns = 0
    insecure = False
    connection_timeout = 20.0
    network_timeout = 30.0
    wait_time = between(0.3, 1.0)

    def on_start(self) -> None:
        """Has an account, and comes in where it wants to."""
        self.report = Report(self.environment.events.request)
        self.devices: list[Client] = []
        self.enter()

    def enter(self) -> None:
        """What it does before anything else."""

    def looks_back(self) -> bool:
        """Whether it compares the history this time: the first time, and each fifth."""
        self.turns += 1
        return self.turns % 5 == 1

    def on_stop(self) -> None:
        """Hangs up."""
        for device in self.devices:
            device.close()

    @property
    def url(self) -> str:
        """The server."""
        return str(self.host).rstrip("/")

    def account(self) -> Account:
        """One that it shares with others."""
        return POOL.take(self.url, OPTIONS.share, OPTIONS.tokens)

    def device(self, account: Account, **how: Any) -> Client:
        """A client that is closed with it. Nothing is connected yet."""
        device = Client(self.url, account, self.report, expects_cuts=not OPTIONS.steady, **how)
        self.devices.append(device)
        return device

    def tell(self, turn: Turn) -> None:
        """How long the parts of a streamed turn took."""
        self.report.reached("stream start", turn.started, turn.asked)
        self.report.reached("first chunk", turn.first, turn.asked)
        if turn.gap:
            self.report.took("longest chunk gap", turn.gap)
        if turn.too_early and turn.ended is not None:
            late = Fault("refused before its first word")
            self.report.took("whole turn", turn.ended - turn.asked, late)
        else:
            self.report.reached("whole turn", turn.ended, turn.asked)

    def compare_history(self, device: Client, turn: Turn) -> None:
        """What the history keeps of a turn is what was given."""
        messages = device.ask_for("get_history", "conversation_history", {"limit": 2})
        kept = {
            each["role"]: each["content"] for each in messages if each["turnId"] == turn.turn_id
        }
        if turn.ended is None or turn.wrong:
            return  # that is told already
        due = turn.text if turn.lost and turn.text is not None else turn.given
        fault = "" if kept.get("assistant") == due else "the history has another answer"
        self.report.check("history", fault, f"in turn {turn.turn_id}")


class Talker(Person):
    """Somebody with one connection that stays."""

    abstract = True

    def enter(self) -> None:
        self.phone = self.device(self.account())
        self.arrive()

    @careful
    def arrive(self) -> None:
        """Comes in."""
        self.phone.connect()

    def present(self) -> Client:
        """The phone, connected."""
        if not self.phone.connects:
            self.phone.come_back()
        return self.phone


class Chatter(Talker):
    """Asks for plain answers."""

    kind = "chat"

    @task
    @careful
    def chat(self) -> None:
        """One question; now and then it looks into the history."""
        phone = self.present()
        turn = phone.finish(phone.ask(*mock(random.randint(1, 20)), stream=False))
        self.report.reached("answer", turn.ended, turn.asked)
        if self.looks_back():
            self.compare_history(phone, turn)


class Streamer(Talker):
    """Reads answers as they come."""

    kind = "stream"

    @task
    @careful
    def read(self) -> None:
        """One answer of a second, token by token."""
        phone = self.present()
        turn = phone.finish(phone.ask(*mock(100, 10)))
        self.tell(turn)
        if self.looks_back():
            self.compare_history(phone, turn)


class Upgrader(Person):
    """Comes as browsers do: by polling, and goes over to WebSocket."""

    kind = "upgrade"

    def enter(self) -> None:
        self.browser = self.device(self.account())

    @task
    @careful
    def visit(self) -> None:
        """A page is opened, an answer is read, the page is closed."""
        try:
            self.browser.connect("upgrade")
        except Refused as error:
            if error.code != "SERVER_DRAINING" or OPTIONS.steady:
                raise
            self.browser.come_back("upgrade")
        self.tell(self.browser.finish(self.browser.ask(*mock(30))))
        self.browser.close()


class Resumer(Talker):
    """Loses its connection in mid-stream."""

    kind = "resume"

    @task
    @careful
    def lose_and_resume(self) -> None:
        """Is cut off somewhere in an answer and reads on from there; says the same thing again."""
        phone = self.present()
        question, answer = mock(150, 10)
        turn = phone.ask(question, answer)
        phone.until_seq(turn, random.randint(0, 30))
        phone.cut()
        seen = turn.seq
        time.sleep(random.uniform(0.1, 1.0))
        with self.report.timed("resume"):
            phone.connect()
            phone.until_seq(turn, seen + 1)
        phone.finish(turn)
        if turn.wrong or turn.ended is None:
            return
        self._say_again(turn)

    def _say_again(self, turn: Turn) -> None:
        """Under the same id it starts nothing."""
        question, _ = mock(3)
        first = self.phone.say(question, None, message_id=f"twice-{turn.turn_id}")
        self.phone.finish(first)
        again = self.phone.say(question, None, message_id=f"twice-{turn.turn_id}")
        same = again.turn_id == first.turn_id
        self.report.check("duplicates", "" if same else "a message under an old id began a turn")


class Pair(Person):
    """Has two devices in one session."""

    kind = "devices"

    def enter(self) -> None:
        account = self.account()
        self.phone, self.laptop = self.device(account), self.device(account)

    @task
    @careful
    def talk_on_both(self) -> None:
        """Both are shown the same answer, whoever asked."""
        if not self.laptop.connects:
            if not self.phone.connects:
                self.phone.connect()
            self.laptop.connect(session_id=self.phone.session_id)
        asking, other = random.sample([self.phone, self.laptop], 2)
        other.latest.pop("message_added", None)
        question, answer = mock(50, 10)
        turn = asking.ask(question, answer)
        shown = other.until("message_added")
        theirs = other.expect(shown["turnId"], answer, turn.asked)
        asking.finish(turn)
        other.finish(theirs)
        fault = "" if theirs.turn_id == turn.turn_id else "another turn than was asked for"
        if not fault and theirs.given != turn.given:
            fault = "two devices were given two answers"
        self.report.check("devices", fault)


class Stormer(Talker):
    """Reads a slow answer when everybody is cut off at once."""

    kind = "storm"
    wait_time = between(0.0, 0.0)

    @task
    @careful
    def weather(self) -> None:
        """Begins an answer, is cut off with all others, comes back, reads on and stops it."""
        phone = self.present()
        question, answer = mock(10_000, 1_000)
        turn = phone.ask(question, answer)
        phone.until_seq(turn, 1)
        self.report.took(READY, time.perf_counter() - turn.asked)
        RUN.cut.wait()
        phone.cut()
        seen = turn.seq
        with self.report.timed(BACK):
            phone.come_back()
            phone.until_seq(turn, seen + 1)
        time.sleep(3)
        phone.call("cancel", {"turnId": turn.turn_id})
        phone.finish(turn)
        if not turn.chunks:
            self.report.check(ANSWERS, "nothing was said after the storm")
        while not RUN.fatal:
            self.wait()  # one storm is enough; whoever stops the run stops this, too
            time.sleep(1)


def weighed(kinds: Mapping[str, int], people: list[type[Person]]) -> list[type[Person]]:
    """Those who come, with their weights."""
    for each in people:
        each.weight = kinds.get(each.kind, 0)
    return [each for each in people if each.weight]


def left_out(users: int, people: Sequence[Any]) -> list[str]:
    """The kinds of whom none is among so many users, as Locust sends them."""
    node = WorkerNode("any")
    dispatcher = UsersDispatcher([node], list(people))
    dispatcher.new_dispatch(users, spawn_rate=users)
    there = next(dispatcher)[node.id]
    return sorted(each.kind for each in people if not there[each.__name__])

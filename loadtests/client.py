"""A client that checks all it is told of its turns, and comes back when it is cut off."""

import logging
import random
import time
import uuid
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import gevent
from gevent.event import Event

from loadtests.accounts import Account
from loadtests.line import Hangup, Line, Refused, Unanswered, Way
from loadtests.report import EVENTS, REPEATED, Fault, Report
from loadtests.run import RUN
from loadtests.turn import ENDINGS, TURN_EVENTS, Turn

log = logging.getLogger("loadtests")

TURN_SECONDS = 30.0
"""Within 15 s of any one failure a turn has its ending; this long it is waited for."""
BACK_SECONDS = (0.5, 1.5)
"""When the stock client first tries to come back; later it waits up to five times as long."""
GIVE_UP_SECONDS = 60.0
_KEPT = 50
"""Turns that have ended and whose late events would still be noticed one by one."""


class Client:
    """One device: a connection after the other, in one session, with the turns it reads.

    ``expects_cuts``: it may be hung up on, as in a rolling restart; otherwise that is a fault.
    ``exhausts``: it means to meet its limit; otherwise that ends the run.
    """

    def __init__(
        self,
        url: str,
        account: Account,
        report: Report,
        *,
        expects_cuts: bool = False,
        exhausts: bool = False,
    ) -> None:
        self.session_id = ""
        self.latest: dict[str, Any] = {}
        """The last payload of each event that is of no turn."""
        self.seen: dict[str, list[Any]] = {}
        """All payloads of the events that were asked for by ``watch``."""
        self.connects = 0
        self._url = url
        self._account = account
        self._report = report
        self._expects_cuts = expects_cuts
        self._exhausts = exhausts
        self._turns: OrderedDict[str, Turn] = OrderedDict()
        self._news = Event()
        self._line: Line | None = None
        self._cut_by_us = False

    # ---- coming and going

    def connect(self, way: Way = "websocket", *, session_id: str = "") -> None:
        """Comes in, to its own session where it has one. Raises as ``Line.connect``."""
        self.session_id = session_id or self.session_id
        name = "connect" if way == "websocket" else "connect and upgrade"
        began = time.perf_counter()
        self.latest.pop("SESSION_CREATED", None)
        self.latest.pop("SESSION_RESTORED", None)
        auth: dict[str, Any] = {"token": self._account.token()}
        if self.session_id:
            resume = [{"turnId": t.turn_id, "after": t.seq} for t in self._running()]
            auth |= {"sessionId": self.session_id, "resume": resume}
        line = Line(self._url, self._heard, self._was_lost, self._was_garbled)
        try:
            with self._report.timed(name):
                # Events may be heard before this returns, and they are this line's.
                self._line, self._cut_by_us = line, False
                line.connect(auth, way)
        except Refused as error:
            RUN.refused(error)
            raise
        self.connects += 1
        self._welcomed(began)

    def _welcomed(self, began: float) -> None:
        """Waits for the session."""

        def told() -> Any:
            return self.latest.get("SESSION_CREATED") or self.latest.get("SESSION_RESTORED")

        session = self._until(told, TURN_SECONDS)
        fault = None if session else Fault("it was let in, and no session was announced")
        self._report.took("session event", time.perf_counter() - began, fault)
        if fault:
            raise fault
        if self.session_id and session["sessionId"] != self.session_id:
            self._report.check("sessions", "who came back was given another session")
        elif self.session_id:
            self._report.check("sessions")
        self.session_id = str(session["sessionId"])

    def cut(self) -> None:
        """Is cut off without a word; ``finish`` and ``come_back`` bring it back."""
        self._cut_by_us = True
        if self._line is not None:
            self._line.cut()
        for turn in self._turns.values():
            turn.interrupted()

    def close(self) -> None:
        """Says goodbye."""
        self._cut_by_us = True
        if self._line is not None:
            self._line.close()

    def come_back(self, way: Way = "websocket") -> None:
        """Tries as the stock client does until it is in. Raises ``Hangup`` when that takes long."""
        until = time.perf_counter() + GIVE_UP_SECONDS
        times = 1
        while True:
            gevent.sleep(random.uniform(*BACK_SECONDS) * times)
            try:
                return self.connect(way)
            except (Refused, Hangup, Fault, OSError) as error:
                if time.perf_counter() > until or RUN.fatal:
                    raise Hangup(f"could not come back: {error}") from error
                times = min(2 * times, 5)

    # ---- asking

    def call(self, event: str, payload: Mapping[str, Any] | None = None) -> Any:
        """The acknowledgement of an event. Raises ``Refused``, ``Hangup`` or ``Unanswered``."""
        if self._line is None:
            raise Hangup("not connected")
        return self._accepted(self._line.call(event, payload))

    def emit(self, event: str, *arguments: Any) -> None:
        """Sends an event that has no answer. Raises ``Hangup``."""
        if self._line is None:
            raise Hangup("not connected")
        self._line.emit(event, *arguments)

    def say(
        self, text: str, answer: str | None, *, stream: bool = True, message_id: str = ""
    ) -> Turn:
        """Sends a message; the turn, which is checked from its acknowledgement on.

        Raises as ``call``.
        """
        if self._line is None:
            raise Hangup("not connected")
        event = "user_message_stream" if stream else "user_message"
        payload = {"text": text, "messageId": message_id or str(uuid.uuid4())}
        asked = time.perf_counter()
        made: list[Turn] = []
        answered: list[Any] = []

        def accept(ack: Any) -> None:
            answered.append(ack)
            if ack["ok"]:
                made.append(self.expect(ack["turnId"], answer, asked))
            self._news.set()

        line = self._line
        with self._report.timed("ack"):
            line.ask(event, payload, accept)
            self._until(lambda: answered or line.gone.is_set(), TURN_SECONDS)
            if not answered:
                why = Hangup(line.why) if line.gone.is_set() else None
                raise why or Unanswered(f"no acknowledgement of {event}")
        if self._accepted(answered[0]).get("duplicate") and made[0].ended is None:
            # It may have begun on the connection that was lost: read it from where we are.
            self.call("resume", {"turnId": made[0].turn_id, "after": made[0].seq})
        return made[0]

    def ask(self, text: str, answer: str | None, *, stream: bool = True) -> Turn:
        """Says it until it is acknowledged, over as many connections as that takes.

        Raises ``Refused``, ``Unanswered`` or ``Hangup``.
        """
        message_id = str(uuid.uuid4())
        while True:
            try:
                return self.say(text, answer, stream=stream, message_id=message_id)
            except Hangup:
                self.come_back()
            except Refused as error:
                if error.code != "SERVER_DRAINING" or not self._expects_cuts:
                    raise
                self.cut()
                self.come_back()

    def expect(self, turn_id: str, answer: str | None, asked: float) -> Turn:
        """Checks a turn from now on, and has it told; the same one again is the one there is."""
        known = self._turns.get(turn_id)
        turn = known or self._shown(turn_id, answer, asked)
        if known is None or known.ended is None:
            turn.owed = True
        return turn

    def _shown(self, turn_id: str, answer: str | None, asked: float) -> Turn:
        """Checks a turn from now on that was begun elsewhere."""
        if (known := self._turns.get(turn_id)) is not None:
            return known
        turn = self._turns[turn_id] = Turn(turn_id, asked, answer)
        while len(self._turns) > _KEPT and not next(iter(self._turns.values())).owed:
            self._turns.popitem(last=False)
        return turn

    def settle(self, *, wait: bool) -> None:
        """Tells what came of the turns that were asked for here and nobody saw the end of; with
        ``wait`` that is waited for first.
        """
        for turn in [turn for turn in self._turns.values() if turn.owed]:
            try:
                if wait:
                    self.finish(turn)
            except Hangup:
                pass  # it could not come back: that is told below, as an answer without an end
            finally:
                if turn.owed:
                    self._report.turn(turn)

    def finish(self, turn: Turn) -> Turn:
        """Waits for the ending, over other connections where this one is lost, and tells what was
        found. Raises ``Hangup``.
        """
        until = time.perf_counter() + TURN_SECONDS
        while turn.ended is None and time.perf_counter() < until:
            line = self._line
            if line is None or line.gone.is_set():
                self.come_back()
                until = time.perf_counter() + TURN_SECONDS
                continue
            self._over_or_lost(turn, line, until - time.perf_counter())
        self._report.turn(turn)
        return turn

    def until(self, name: str, seconds: float = TURN_SECONDS) -> Any:
        """The payload of an event that is of no turn, once it comes from now on.

        Raises ``Unanswered`` or ``Hangup``.
        """
        return self._awaited(name, seconds)

    def ask_for(self, event: str, answer: str, payload: Mapping[str, Any] | None = None) -> Any:
        """Sends an event that another one answers; that one's payload. Raises as ``call``."""
        self.latest.pop(answer, None)
        self.call(event, payload)
        return self._awaited(answer, TURN_SECONDS)

    def until_seq(self, turn: Turn, seq: int) -> None:
        """Returns when a turn is that far, or over. Raises ``Hangup`` or ``Unanswered``."""
        line = self._line
        self._until(
            lambda: turn.seq >= seq or turn.ended or (line and line.gone.is_set()), TURN_SECONDS
        )
        if turn.seq >= seq or turn.ended is not None:
            return
        if line is None or line.gone.is_set():
            raise Hangup(line.why if line else "not connected")
        raise Unanswered(f"nothing of its turn came after {turn.seq}")

    def wait_for(self, condition: Any, seconds: float = TURN_SECONDS) -> Any:
        """What ``condition`` gives as soon as that is something; None when it takes too long."""
        return self._until(condition, seconds)

    def watch(self, *names: str) -> None:
        """Keeps all events of these names in ``seen``."""
        for name in names:
            self.seen[name] = []

    # ---- hearing: called by the line, in the order of what comes, and never waiting

    def _heard(self, event: str, data: Any = None) -> None:
        now = time.perf_counter()
        turn_id = data.get("turnId") if isinstance(data, dict) else None
        if event in TURN_EVENTS and turn_id is not None:
            self._take(event, str(turn_id), data, now)
        elif event == "auth_expiring":
            gevent.spawn(self._renew)
        else:
            self.latest[event] = data
            if event in self.seen:
                self.seen[event].append((now, data))
        if event == "final_transcript" and turn_id is not None:
            self._shown(str(turn_id), None, now)
        elif event == "message_added" and data.get("role") == "user" and turn_id is not None:
            self._shown(str(turn_id), None, now)  # another device asked: it is shown here, too
        self._news.set()

    def _take(self, event: str, turn_id: str, data: Mapping[str, Any], now: float) -> None:
        turn = self._turns.get(turn_id)
        if turn is None and self._expects_cuts:
            # Its acknowledgement was lost with a connection.
            turn = self._shown(turn_id, None, now)
        if turn is None:
            self._report.check("strangers", "an event of a turn that was not announced", turn_id)
            return
        ended = turn.ended is not None
        turn.take(event, data, now)
        if ended:  # its sums were told already
            name = "endings" if event in ENDINGS else REPEATED
            self._report.check(name, f"{event} came after the end of its turn", turn_id)

    def _was_lost(self, why: str) -> None:
        for turn in self._turns.values():
            turn.interrupted()
        if not self._cut_by_us and not self._expects_cuts and not RUN.fatal:
            self._report.check("hang-ups", f"a connection was lost: {why}")
        self._news.set()

    def _was_garbled(self, what: str) -> None:
        self._report.check(EVENTS, f"an event cannot be read: {what}")

    def _renew(self) -> None:
        """The token of this connection runs out."""
        try:
            self.call("auth_refresh", {"token": self._account.token()})
        except (Refused, Hangup, Unanswered, OSError) as error:
            self._report.check("token renewals", f"{error}")
        else:
            self._report.check("token renewals")

    # ---- waiting

    def _running(self) -> list[Turn]:
        return [turn for turn in self._turns.values() if turn.ended is None]

    def _accepted(self, ack: Any) -> Any:
        if ack["ok"]:
            return ack
        error = Refused(str(ack["error"]["code"]), str(ack["error"]["message"]))
        if not self._exhausts:
            RUN.refused(error)
        raise error

    def _over_or_lost(self, turn: Turn, line: Line, seconds: float) -> None:
        self._until(lambda: turn.ended is not None or line.gone.is_set(), seconds)

    def _awaited(self, name: str, seconds: float) -> Any:
        line = self._line
        self._until(lambda: name in self.latest or (line and line.gone.is_set()), seconds)
        if name in self.latest:
            return self.latest.pop(name)
        if line is None or line.gone.is_set():
            raise Hangup(line.why if line else "not connected")
        raise Unanswered(f"{name} did not come")

    def _until(self, condition: Any, seconds: float) -> Any:
        """What ``condition`` gives once that is true; None when the time is over."""
        until = time.perf_counter() + seconds
        while not (found := condition()):
            self._news.clear()
            if not self._news.wait(max(0.0, until - time.perf_counter())):
                return condition() or None
        return found

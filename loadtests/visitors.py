"""Those who come for something other than a chat: accounts, pages, tools, limits, voice."""

import json
import random
import re
import time
import uuid
import wave
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gevent
from locust import between, task

from loadtests.accounts import PASSWORD, new_email, registered
from loadtests.line import UNREADABLE, Hangup, Refused, Unanswered
from loadtests.people import OPTIONS, Person, Talker, careful
from loadtests.report import Fault
from loadtests.run import RUN
from loadtests.window import Moment, miscounted

CLIPS = Path(__file__).parents[1] / "tests" / "clips"
CLIP = "what_time_is_it"
FRAME_SECONDS = 0.04
MOST = 2_000
"""Messages with which a limit is looked for."""
REFUSALS = 6
"""After the first one, nothing more may be let through."""
AT_ONCE = 4
"""One message is answered, three wait: of more the session's queue is full."""
_WINDOW = re.compile(r"each ([\d.]+) s")
_TO_RAISE: Mapping[str, str] = {
    "/auth/register": "AUTH_REGISTER_PER_MINUTE",
    "/auth/login": "AUTH_LOGIN_PER_MINUTE",
}


class Visitor(Person):
    """Somebody who asks by REST."""

    abstract = True

    def ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        name: str = "",
        token: str = "",
        want: int = 200,
    ) -> Any:
        """The JSON of an answer, counted under ``name``. Raises ``Fault`` for another status."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        with self.client.request(
            method, path, name=name or path, json=body, headers=headers, catch_response=True
        ) as answer:
            if answer.status_code == want:
                answer.success()
                text = answer.text or ""
                return json.loads(text) if text[:1] in "{[" and text else None
            if answer.status_code == 429:
                setting = _TO_RAISE.get(name or path, "RATE_LIMIT_READS_PER_MINUTE")
                RUN.refuse(f"{path}: 429", setting)
            fault = f"{answer.status_code} instead of {want}"
            answer.failure(fault)
        raise Fault(f"{method} {path}: {fault}")


class Newcomer(Visitor):
    """Registers, logs in, refreshes and logs out."""

    kind = "account"
    wait_time = between(1.0, 3.0)

    @task
    @careful
    def live(self) -> None:
        """The whole life of an account."""
        body = {"email": new_email(), "password": PASSWORD}
        self.ask("POST", "/auth/register", body, want=201)
        grant = self.ask("POST", "/auth/login", body)
        self._look(grant["accessToken"], body["email"])
        grant = self.ask("POST", "/auth/refresh", {"refreshToken": grant["refreshToken"]})
        self._look(grant["accessToken"], body["email"])
        spent = {"refreshToken": grant["refreshToken"]}
        self.ask("POST", "/auth/logout", spent, want=204)
        self.ask("POST", "/auth/refresh", spent, name="/auth/refresh after logout", want=401)

    def _look(self, token: str, email: str) -> None:
        """The first look is at a token that the server has never seen, the others are not."""
        for number in range(11):
            name = f"/auth/me {'warm' if number else 'cold'}"
            told = self.ask("GET", "/auth/me", name=name, token=token)
            fault = "" if told["email"] == email else "a token is taken for somebody else's"
            self.report.check("identities", fault)


class Reader(Visitor, Talker):
    """Reads its history, and all that the server shows."""

    kind = "read"

    @task
    @careful
    def look_around(self) -> None:
        """Every page, and everything that can be asked for over the socket."""
        for path in ("/", "/health", "/health/live", "/health/ready", "/health/detailed"):
            self.ask("GET", path)
        for path in random.sample(("/docs", "/openapi.json", "/asyncapi.json"), 1):
            self.ask("GET", path)
        phone = self.present()
        token = self.phone_account.token()
        self.ask("GET", "/v1/voice/profiles", token=token)
        self._keep_a_profile(token)
        with self.report.timed("history"):
            phone.ask_for("get_history", "conversation_history", {"limit": 20})
        with self.report.timed("session info"):
            info = phone.ask_for("get_session_info", "session_info")
        if info["sessionId"] != phone.session_id:
            self.report.check("sessions", "the session tells of another one")
        tools = phone.ask_for("list_tools", "tools_list")
        phone.ask_for("get_tool_info", "tool_info", {"toolName": tools[0]["name"]})

    def enter(self) -> None:
        self.phone_account = self.account()
        self.phone = self.device(self.phone_account)
        self.arrive()

    def _keep_a_profile(self, token: str) -> None:
        """Makes a voice profile and drops it again."""
        name, path = f"load-{uuid.uuid4().hex[:12]}", "/v1/voice/profiles"
        self.ask("POST", path, {"name": name}, token=token, want=201)
        one = f"{path}/{name}"
        self.ask("GET", one, name=f"{path}/name", token=token)
        self.ask("DELETE", one, name=f"{path}/name", token=token, want=204)


class Craftsman(Talker):
    """Calls tools, and has the model call them."""

    kind = "tools"

    @task
    @careful
    def calculate(self) -> None:
        """A sum, by itself and by way of the model."""
        phone = self.present()
        one, other = random.randint(2, 99), random.randint(2, 99)
        parameters = {"expression": f"{one}*{other}"}
        call_id = str(uuid.uuid4())
        phone.watch("tool_result")
        with self.report.timed("tool"):
            payload = {"toolName": "calculate", "parameters": parameters, "callId": call_id}
            told = phone.ask_for("call_tool", "tool_result", payload)
        self._compare(told, one * other)
        turn = phone.ask(f"/mock tool=calculate {json.dumps(parameters)} {OPTIONS.say}", None)
        phone.finish(turn)
        results = list(turn.calls.values())
        self._compare(results[0] if len(results) == 1 else {}, one * other)
        given = [data["callId"] for _, data in phone.seen["tool_result"]]
        fault = "" if given == [call_id] else "the result of a call did not come once"
        self.report.check("tool results", fault)

    def _compare(self, told: Mapping[str, Any], product: int) -> None:
        fault = (
            ""
            if told.get("success") and str(product) in str(told.get("result"))
            else (f"a sum came out wrong: {str(told)[:200]}")
        )
        self.report.check("tool results", fault)


class Approver(Person):
    """Approves what the model wants to do, on two devices at the same moment."""

    kind = "approve"

    def enter(self) -> None:
        account = self.account()
        self.phone, self.laptop = self.device(account), self.device(account)

    @task
    @careful
    def approve(self) -> None:
        """The call is made once, whoever was first."""
        if not self.laptop.connects:
            if not self.phone.connects:
                self.phone.connect()
            self.laptop.connect(session_id=self.phone.session_id)
        arguments = json.dumps({"key": str(uuid.uuid4())})
        turn = self.phone.ask(f"/mock tool=load_approval {arguments} {OPTIONS.say}".strip(), None)
        if not self.phone.wait_for(lambda: turn.calls or turn.ended) or not turn.calls:
            self.report.check("approvals", "the model did not ask for the tool")
            raise Fault("the model did not ask for the tool")
        decision = {"callId": next(iter(turn.calls)), "decision": "approve"}
        began = time.perf_counter()
        decided = [device.call("tool_decision", decision) for device in self.devices]
        done = self.phone.wait_for(lambda: all(turn.calls.values()) or turn.ended)
        self.report.reached("approved tool", time.perf_counter() if done else None, began)
        self.phone.finish(turn)
        first = sum(not each.get("already") for each in decided)
        (result,) = turn.calls.values()
        fault = "" if first == 1 else f"{first} devices were told that their decision counts"
        if not fault and result.get("result") != 1:
            fault = f"what was approved once was done otherwise: {str(result)[:200]}"
        self.report.check("approvals", fault)


@dataclass
class Meal:
    """When messages were let through, when they were not, and why."""

    through: list[Moment] = field(default_factory=list)
    refused: list[Moment] = field(default_factory=list)
    refusal: Refused | None = None
    error: Exception | None = None

    @property
    def over(self) -> bool:
        """There is nothing more to be found out."""
        done = len(self.refused) >= REFUSALS or len(self.through) >= MOST
        return done or self.error is not None


class Glutton(Person):
    """Says more than it may, and counts what is let through."""

    kind = "limiter"
    pause = 1.0

    def enter(self) -> None:
        """Has an account of its own: its window must be empty."""
        self.phone = self.device(registered(self.url), exhausts=True)

    def wait_time(self) -> float:
        """Until the window is empty again."""
        return self.pause

    @task
    @careful
    def exhaust(self) -> None:
        """From an empty window, exactly so many are let through as the server states."""
        if not self.phone.connects:
            self.phone.connect()
        meal = self._eat()
        stated = int(self.phone.latest["rate_limit"]["limit"])
        found = _WINDOW.search(str(meal.refusal))
        window = float(found[1]) if found else 60.0
        self.pause = window + 1.0
        fault = miscounted(meal.through, meal.refused, stated, window)
        if not fault and OPTIONS.limit not in {None, stated}:
            fault = f"{stated} were let through, {OPTIONS.limit} are meant to be"
        self.report.check("limiter", fault)

    def _eat(self) -> Meal:
        """Says things until it is refused, a few at once: far away each takes long."""
        meal = Meal()
        gevent.joinall([gevent.spawn(self._chew, meal) for _ in range(AT_ONCE)])
        # Where the connection was lost meanwhile, their endings are read on another one.
        self.phone.settle(wait=True)
        if meal.error is not None:
            raise meal.error
        if meal.refusal is None:
            RUN.end(
                f"the limit of messages is not met by {MOST}: set RATE_LIMIT_MAX_REQUESTS=200 and "
                "RATE_LIMIT_WINDOW_MS=10000 there, or less and longer where it is far away, or "
                "leave it out by LOAD_MIX=limiter=0"
            )
            raise Fault("no limit was met")
        return meal

    def _chew(self, meal: Meal) -> None:
        while not meal.over:
            try:
                self._bite(meal)
            except (Refused, Hangup, Unanswered, OSError, *UNREADABLE) as error:
                meal.error = meal.error or error

    def _bite(self, meal: Meal) -> None:
        """One message, and its answer."""
        asked = time.perf_counter()
        try:
            turn = self.phone.say("/mock tokens=1", None, stream=False)
        except Refused as error:
            if error.code != "RATE_LIMITED":
                raise
            meal.refused.append((asked, time.perf_counter()))
            meal.refusal = error
        else:
            meal.through.append((asked, time.perf_counter()))
            self.phone.wait_for(lambda: turn.ended)
            if turn.ended is not None:
                self.report.turn(turn)


class Speaker(Talker):
    """Speaks, and hears the answer."""

    kind = "speak"
    wait_time = between(1.0, 2.0)

    def enter(self) -> None:
        self.frames, self.spoken = _clip()
        super().enter()

    @task
    @careful
    def speak(self) -> None:
        """A question, in real time; the answer is heard to its end."""
        phone = self.present()
        phone.watch("audio_start", "audio_chunk", "audio_end")
        phone.latest.pop("final_transcript", None)
        self._listened_to()
        silent_since = self._say()
        said = phone.latest.pop("final_transcript", None) or phone.until("final_transcript")
        if not said["text"] or "turnId" not in said:
            self.report.check("sound", "a question that was not heard as one")
            raise Fault("a question that was not heard as one")
        turn = phone.expect(said["turnId"], None, silent_since)
        phone.wait_for(lambda: phone.seen["audio_chunk"] or turn.ended)
        heard = phone.seen["audio_chunk"]
        self.report.reached("mouth to ear", heard[0][0] if heard else None, silent_since)
        phone.finish(turn)
        phone.wait_for(lambda: phone.seen["audio_end"], 5)
        self.report.check("sound", self._fault_of_sound(), f"in turn {turn.turn_id}")
        phone.call("voice_stop")

    def _listened_to(self) -> None:
        """Opens the microphone."""
        try:
            self.phone.call("voice_start", {"mode": "turn", "profile": "vad-triggered"})
        except Refused as error:
            if error.code == "OVERLOADED":  # there is no other reason for it here
                RUN.refuse(error, "VOICE_MAX_STREAMS")
            raise

    def _say(self) -> float:
        """Sends a frame each 40 ms, silence in the end until a text comes; when the last word was
        said.
        """
        began, silent_since = time.perf_counter(), 0.0
        silence = bytes(len(self.frames[0]))
        for number in range(len(self.frames) + 125):
            time.sleep(max(0.0, began + number * FRAME_SECONDS - time.perf_counter()))
            if number == self.spoken:
                silent_since = time.perf_counter()
            if "final_transcript" in self.phone.latest:
                break
            self.phone.emit("audio", self.frames[number] if number < len(self.frames) else silence)
        return silent_since

    def _fault_of_sound(self) -> str:
        seen = self.phone.seen
        chunks = [data for _, data in seen["audio_chunk"]]
        counts = [len(seen["audio_start"]), len(seen["audio_end"])]
        if counts != [1, 1] or not chunks:
            return f"an answer began and ended {counts} times, with {len(chunks)} frames"
        (_, start), (_, end) = seen["audio_start"][0], seen["audio_end"][0]
        numbers = [each["audioSeq"] for each in (start, *chunks, end)]
        due = list(range(numbers[0], numbers[0] + len(numbers)))
        return "" if numbers == due else "frames of sound are missing or out of order"


def _clip() -> tuple[list[bytes], int]:
    """Frames of 40 ms, and the number of the first after the last word."""
    with wave.open(str(CLIPS / f"{CLIP}.wav"), "rb") as file:
        size = round(file.getframerate() * FRAME_SECONDS)
        pcm = file.readframes(file.getnframes())
    manifest = json.loads((CLIPS / "manifest.json").read_text(encoding="utf-8"))
    spoken = manifest[f"{CLIP}.wav"]["speech_end_ms"] / 1000
    frames = [pcm[at : at + 2 * size] for at in range(0, len(pcm) - 2 * size, 2 * size)]
    return frames, round(spoken / FRAME_SECONDS) + 1

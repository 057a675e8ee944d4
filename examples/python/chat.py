"""Asks one question and prints the answer as it comes: whole, however often the line is cut.

    python chat.py "Tell me a joke"

TALKSY_URL is where Talksy runs, http://localhost:3000 unless set. TALKSY_TOKEN is an access token;
without one you are a guest. It ends with 0 when the answer is complete, 1 when it is not, 2 when
nothing was asked, 130 after Ctrl-C.
"""

import asyncio
import json
import os
import signal
import sys
import uuid
from typing import Any

import aiohttp
import socketio

URL = os.environ.get("TALKSY_URL", "http://localhost:3000")
TOKEN = os.environ.get("TALKSY_TOKEN")
LATER = {"RATE_LIMITED", "SESSION_LIMIT", "OVERLOADED", "SERVER_DRAINING"}
ATTEMPTS = 10

Payload = dict[str, Any]


class Question:
    """One message and its answer. ``code`` is the exit code, once it is known."""

    def __init__(self, text: str, sio: socketio.AsyncClient) -> None:
        self.code: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        # The client looks into it at each connect: there the session and the guest are found again.
        self.auth: Payload = {"open": True}
        if TOKEN:
            self.auth["token"] = TOKEN
        # The same id however often it is sent: what was heard once is not answered twice.
        self._message = {"text": text, "messageId": str(uuid.uuid4())}
        self._turn_id: str | None = None
        self._after = -1
        """The last number seen of the answer."""
        self._answer = ""
        self._stopped = False
        self._sio = sio
        sio.on("SESSION_CREATED", self._welcome)
        sio.on("SESSION_RESTORED", self._welcome)
        sio.on("stream_chunk", self._chunk)
        sio.on("stream_reset", self._reset)
        sio.on("tool_call", self._called)
        sio.on("tool_result", self._settled)
        sio.on("stream_end", self._ended)
        sio.on("error", lambda error: say(error["message"]))
        sio.on("connect_error", self._refused)

    async def stop(self) -> None:
        """Cancels the answer; should the line be cut just now, after the next connect."""
        self._stopped = True
        if self._turn_id and self._sio.connected:
            await self._sio.emit("cancel", {"turnId": self._turn_id})

    # ---- coming

    async def _welcome(self, session: Payload) -> None:
        self.auth["sessionId"] = session["sessionId"]
        if "guestToken" in session:
            self.auth["token"] = session["guestToken"]
        # What was refused on a line that was cut is refused again.
        for turn in session.get("activeTurns", ()):
            for call_id in turn.get("pending", ()):
                await self._refuse(call_id)
        await self._sio.emit("user_message_stream", self._message, callback=self._acknowledged)

    async def _acknowledged(self, ack: Payload) -> None:
        if not ack["ok"]:
            self._end(1, ack["error"]["message"])
            return
        self._turn_id = ack["turnId"]
        if ack.get("duplicate"):
            resume = {"turnId": self._turn_id, "after": self._after}
            await self._sio.emit("resume", resume, callback=self._resumed)
        if self._stopped:
            await self.stop()

    def _resumed(self, ack: Payload) -> None:
        if not ack["ok"]:
            self._end(1, ack["error"]["message"])

    async def _refused(self, refusal: Any) -> None:
        # What is no dict is a line that could not be had: the library tries again.
        error = refusal.get("data") if isinstance(refusal, dict) else None
        if isinstance(error, dict):
            say(error["message"])
            if error["code"] in LATER:
                await self._sio.disconnect()  # and `ask` connects again
            else:
                self._end(1)

    # ---- the answer

    def _chunk(self, chunk: Payload) -> None:
        if self._new(chunk):
            self._answer += chunk["content"]
            show(chunk["content"])

    def _reset(self, reset: Payload) -> None:
        if self._new(reset):
            show("\n" if self._answer else "")
            self._answer = ""
            say("that is void: the answer begins anew")

    async def _called(self, call: Payload) -> None:
        if self._new(call):
            say(f"{call['toolName']} {json.dumps(call['parameters'])}")
            if "needsApproval" in call:
                # Nobody is asked here, so nobody agrees.
                await self._refuse(call["callId"])

    async def _refuse(self, call_id: str) -> None:
        await self._sio.emit("tool_decision", {"callId": call_id, "decision": "deny"})

    def _settled(self, result: Payload) -> None:
        if self._new(result) and not result["success"]:
            say(f"{result['toolName']}: {result['error']['message']}")

    def _ended(self, end: Payload) -> None:
        if not self._new(end):
            return
        # The whole text comes along where chunks are no longer kept: what is missing is shown.
        whole = end.get("text", self._answer)
        seen = self._answer
        show(whole[len(seen) :] if whole.startswith(seen) else f"\n{whole}")
        self._answer = whole
        if end["reason"] == "completed":
            self._end(0)
        else:
            error = end.get("error") or {"message": end["reason"]}
            self._end(130 if self._stopped else 1, error["message"])

    def _new(self, event: Payload) -> bool:
        """Whether this event of the answer was not seen before."""
        new: bool = event["seq"] > self._after
        self._after = max(self._after, event["seq"])
        return new

    def _end(self, code: int, line: str = "") -> None:
        if self._answer:
            show("\n")
        if line:
            say(line)
        if not self.code.done():
            self.code.set_result(code)


def show(piece: str) -> None:
    """Prints a piece of the answer, without what would steer the terminal."""
    plain = "".join(char for char in piece if char.isprintable() or char in "\n\t")
    print(plain, end="", flush=True)


def say(line: str) -> None:
    """Says something beside the answer."""
    print(f"({line})", file=sys.stderr)


async def ask(text: str) -> int:
    """Asks, and returns the exit code."""
    async with aiohttp.ClientSession() as http:
        sio = socketio.AsyncClient(
            http_session=http,
            handle_sigint=False,
            reconnection_delay=0.3,
            randomization_factor=0.2,
            reconnection_attempts=ATTEMPTS,
        )
        question = Question(text, sio)
        loop, stops = asyncio.get_running_loop(), set[asyncio.Task[None]]()

        def interrupted() -> None:
            loop.remove_signal_handler(signal.SIGINT)  # a second one ends it at once
            stops.add(asyncio.create_task(question.stop()))

        loop.add_signal_handler(signal.SIGINT, interrupted)
        try:
            while not question.code.done():
                # Once more when the server hung up or had no room: the library leaves it at that.
                await sio.connect(
                    URL, auth=question.auth, transports=["websocket"], retry=True, wait=False
                )
                line = asyncio.create_task(sio.wait())
                await asyncio.wait([line, question.code], return_when=asyncio.FIRST_COMPLETED)
            await sio.shutdown()
            line.cancel()
        except socketio.exceptions.ConnectionError:
            say(f"cannot reach {URL}")
            return 1
        return question.code.result()


if __name__ == "__main__":
    words = " ".join(sys.argv[1:]).strip()
    if not words:
        print('Ask something: python chat.py "Tell me a joke"', file=sys.stderr)
        sys.exit(2)
    try:
        sys.exit(asyncio.run(ask(words)))
    except KeyboardInterrupt:
        sys.exit(130)

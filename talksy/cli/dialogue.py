"""A session over Socket.IO that comes back when its line is cut, and has lost nothing then."""

import asyncio
import json
import random
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

import socketio

FIRST_PAUSE = 0.2
LONGEST_PAUSE = 5.0
"""Seconds between two attempts to connect; the pause doubles from the first to the longest."""
CONNECT_SECONDS = 10.0

_STALE = frozenset({"TOKEN_EXPIRED", "UNAUTHENTICATED"})
_PASSING = frozenset({"SERVER_DRAINING", "OVERLOADED", "INTERNAL_ERROR"})

Payload = dict[str, Any]


class Refused(Exception):
    """The server said no; the text is for the person who talks."""


class Lost(Exception):
    """The line was cut before the answer to a question came."""


@dataclass(eq=False)
class Turn:
    """A message and its answer, as far as it came."""

    text: str
    message_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    id: str | None = None
    after: int = -1
    answer: str = ""
    unwanted: bool = False
    """It is to be cancelled as soon as the server can be told."""
    pending: dict[str, str | None] = field(default_factory=dict)
    """The calls of tools that wait for a person, and what that has decided."""
    ended: asyncio.Future[Payload] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    def end(self, payload: Payload) -> None:
        """Ends it as ``stream_end`` says, or with ``{error: {…}}``; the first call counts."""
        if not self.ended.done():
            self.ended.set_result(payload)


class Dialogue:
    """One session with one message at a time."""

    def __init__(
        self,
        url: str,
        token: str,
        *,
        renew: Callable[[], Awaitable[str | None]],
        show: Callable[[str], None],
        notice: Callable[[str], None],
        person: bool = True,
    ) -> None:
        """``renew`` gives a fresh token, or None where there is none to be had; ``show`` is given
        each piece of an answer, ``notice`` what else there is to say, a line each. Without a
        ``person`` to approve them tools that ask for that are refused.
        """
        self._person = person
        self._url, self._token = url, token
        self._renew, self._show, self._notice = renew, show, notice
        self._session_id: str | None = None
        self._turn: Turn | None = None
        self._sio: socketio.AsyncClient | None = None
        self._lost = asyncio.Event()
        self._ready = asyncio.Event()
        """The session stands; cleared while the line is cut."""
        self._history: asyncio.Future[list[Payload]] | None = None

    @property
    def talking(self) -> bool:
        """Whether an answer is under way."""
        return self._turn is not None

    async def run(self) -> None:
        """Keeps the line. Raises ``Refused`` where it cannot be had."""
        pause, before = FIRST_PAUSE, False
        while True:
            if await self._connect(again=before):
                pause, before = FIRST_PAUSE, True
                await self._lost.wait()
                self._part()
                self._notice("the connection is lost: coming back")
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - no secret
            pause = min(2 * pause, LONGEST_PAUSE)

    async def close(self) -> None:
        """Hangs up."""
        if self._sio is not None:
            await self._sio.disconnect()
            if self._sio.eio.http is not None:
                await self._sio.eio.http.close()

    # ---- what the person asks for

    async def say(self, text: str) -> Payload:
        """Sends a message, shows its answer as it comes, and returns how it ended."""
        turn = self._turn = Turn(text)
        try:
            if self._ready.is_set():
                await self._send(turn)
            return await turn.ended
        finally:
            self._turn = None

    async def cancel(self) -> None:
        """Ends the answer that is under way, at the latest when the line is back."""
        if self._turn is not None:
            self._turn.unwanted = True
            await self._stop(self._turn)

    async def decide(self, decision: Literal["approve", "deny"]) -> None:
        """Says whether the tools may run that wait for a word, at the latest when the line is
        back; those that begin to wait later are asked about anew.
        """
        if self._turn is not None:
            self._turn.pending = dict.fromkeys(self._turn.pending, decision)
            await self._tell_decisions(self._turn)

    async def history(self) -> list[Payload]:
        """The messages of the session. Raises ``Lost`` and ``Refused``."""
        await self._ready.wait()
        self._history = asyncio.get_running_loop().create_future()

        def acknowledged(ack: Payload) -> None:
            if not ack["ok"] and self._history is not None and not self._history.done():
                self._history.set_exception(Refused(ack["error"]["message"]))

        await self._emit("get_history", {}, acknowledged)
        return await self._history

    # ---- the line

    async def _connect(self, *, again: bool) -> bool:
        refusals: list[Any] = []
        sio = socketio.AsyncClient(reconnection=False, handle_sigint=False)
        lost = self._lost = asyncio.Event()
        sio.on("connect_error", lambda data=None: refusals.append(data))
        sio.on("disconnect", lambda *_: lost.set())
        sio.on("*", self._hear)
        turn, self._sio = self._turn, sio
        auth: Payload = {"token": self._token, "sessionId": self._session_id, "open": True}
        if turn is not None and turn.id is not None:
            auth["resume"] = [{"turnId": turn.id, "after": turn.after}]
        try:
            await sio.connect(
                self._url, auth=auth, transports=["websocket"], wait_timeout=CONNECT_SECONDS
            )
        except socketio.exceptions.ConnectionError as error:
            await self.close()
            await self._refused(refusals[-1] if refusals else None, str(error), again=again)
            return False
        return True

    async def _refused(self, refusal: Any, fallback: str, *, again: bool) -> None:
        """Says why there is no line. Raises ``Refused`` where trying again would not help."""
        error = refusal.get("data") if isinstance(refusal, dict) else None
        if not isinstance(error, dict):
            if not again:
                raise Refused(f"cannot reach {self._url}: {fallback}")
            return
        if error["code"] in _STALE and (token := await self._renew()) is not None:
            self._token = token
        elif again and error["code"] in _PASSING:
            self._notice(error["message"])
        else:
            raise Refused(error["message"])

    async def _freshen(self) -> None:
        """Brings another token before this one runs out; without one the line is cut for it."""
        token = await self._renew()
        if token is not None:
            self._token = token
            await self._emit("auth_refresh", {"token": token}, self._complain)

    def _part(self) -> None:
        self._ready.clear()
        if self._history is not None and not self._history.done():
            self._history.set_exception(Lost("the connection was lost: ask again"))

    async def _emit(self, event: str, payload: Payload, then: Callable[[Any], Any]) -> None:
        # A line that is cut this very moment loses it: what matters is sent again at the next.
        if self._sio is not None:
            with suppress(socketio.exceptions.SocketIOError):
                await self._sio.emit(event, payload, callback=then)

    async def _stop(self, turn: Turn) -> None:
        if turn.unwanted and turn.id is not None:
            await self._emit("cancel", {"turnId": turn.id}, self._complain)

    async def _tell_decisions(self, turn: Turn) -> None:
        for call_id, decision in list(turn.pending.items()):
            if decision is not None:
                payload = {"callId": call_id, "decision": decision}
                await self._emit("tool_decision", payload, self._complain)

    async def _send(self, turn: Turn) -> None:
        """Sends the message, again if need be: under the same id it starts nothing twice."""

        async def acknowledged(ack: Payload) -> None:
            if not ack["ok"]:
                turn.end(ack)
                return
            turn.id = ack["turnId"]
            if ack.get("duplicate"):
                resume = {"turnId": turn.id, "after": turn.after}
                await self._emit("resume", resume, self._complain)
            await self._stop(turn)

        message = {"text": turn.text, "messageId": turn.message_id}
        await self._emit("user_message_stream", message, acknowledged)

    def _complain(self, ack: Payload) -> None:
        if not ack["ok"]:
            self._notice(ack["error"]["message"])

    # ---- what comes in

    async def _hear(self, name: str, data: Any) -> None:
        turn = self._turn
        match name:
            case "SESSION_CREATED" | "SESSION_RESTORED":
                await self._welcomed(data)
            case "stream_chunk" | "stream_reset" | "stream_end" if (
                turn and data["turnId"] == turn.id
            ):
                self._read(turn, name, data)
            case "tool_call" | "tool_result" if turn and data.get("turnId") == turn.id:
                await self._tool(turn, name, data)
            case "conversation_history" if self._history and not self._history.done():
                self._history.set_result(data)
            case "auth_expiring":
                await self._freshen()
            case "server_draining":
                self._notice("the server is about to stop")
            case "error" if turn and data.get("turnId") == turn.id:
                turn.end({"error": data})
            case "error":
                self._notice(data["message"])

    async def _welcomed(self, data: Payload) -> None:
        if data.get("restoreFailed"):
            self._notice("the session has ended: a new one begins")
        self._session_id = data["sessionId"]
        self._ready.set()
        if self._turn is None:
            return
        if self._turn.id is None:
            await self._send(self._turn)
        await self._stop(self._turn)
        await self._tell_decisions(self._turn)

    async def _tool(self, turn: Turn, name: str, data: Payload) -> None:
        if data["seq"] <= turn.after:
            return
        turn.after = data["seq"]
        tool = data["toolName"]
        if name == "tool_call":
            self._notice(f"{tool} {json.dumps(data['parameters'], ensure_ascii=False)}")
        else:
            turn.pending.pop(data["callId"], None)
            if not data["success"]:
                self._notice(f"{tool}: {data['error']['message']}")
        if "needsApproval" in data:
            turn.pending[data["callId"]] = None
            if self._person:
                self._notice(f"{tool} waits for your word: /approve or /deny")
            else:
                await self.decide("deny")

    def _read(self, turn: Turn, name: str, data: Payload) -> None:
        if data["seq"] <= turn.after:
            return
        turn.after = data["seq"]
        if name == "stream_reset":
            self._show("\n")
            self._notice("the answer was broken off: another model begins again")
            turn.answer = piece = ""
        elif name == "stream_chunk":
            piece = data["content"]
        else:
            # The whole answer comes with the ending where its chunks do not; it may be another one
            # than what was shown, if that became void while the line was cut.
            text = data.get("text") or turn.answer
            kept = text.startswith(turn.answer)
            piece = text.removeprefix(turn.answer) if kept else f"\n{text}"
        turn.answer += piece
        if piece:
            self._show(piece)
        if name == "stream_end":
            turn.end(data)

"""A session over Socket.IO that comes back when its line is cut, and has lost nothing then."""

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from talksy.cli.wire import Payload, Refused, Wire


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
        self._show, self._notice = show, notice
        self._wire = Wire(
            url,
            token,
            renew=renew,
            notice=notice,
            hello=self._hello,
            hear=self._hear,
            part=self._part,
        )
        self._session_id: str | None = None
        self._turn: Turn | None = None
        self._ready = asyncio.Event()
        """The session stands; cleared while the line is cut."""
        self._history: asyncio.Future[list[Payload]] | None = None

    @property
    def talking(self) -> bool:
        """Whether an answer is under way."""
        return self._turn is not None

    async def run(self) -> None:
        """Keeps the line. Raises ``Refused`` where it cannot be had."""
        await self._wire.keep()

    async def close(self) -> None:
        """Hangs up."""
        await self._wire.close()

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

        await self._wire.emit("get_history", {}, acknowledged)
        return await self._history

    # ---- the line

    def _hello(self) -> Payload:
        hello: Payload = {"sessionId": self._session_id, "open": True}
        if self._turn is not None and self._turn.id is not None:
            hello["resume"] = [{"turnId": self._turn.id, "after": self._turn.after}]
        return hello

    def _part(self) -> None:
        self._ready.clear()
        if self._history is not None and not self._history.done():
            self._history.set_exception(Lost("the connection was lost: ask again"))

    async def _stop(self, turn: Turn) -> None:
        if turn.unwanted and turn.id is not None:
            await self._wire.emit("cancel", {"turnId": turn.id}, self._wire.complain)

    async def _tell_decisions(self, turn: Turn) -> None:
        for call_id, decision in list(turn.pending.items()):
            if decision is not None:
                payload = {"callId": call_id, "decision": decision}
                await self._wire.emit("tool_decision", payload, self._wire.complain)

    async def _send(self, turn: Turn) -> None:
        """Sends the message, again if need be: under the same id it starts nothing twice."""

        async def acknowledged(ack: Payload) -> None:
            if not ack["ok"]:
                turn.end(ack)
                return
            turn.id = ack["turnId"]
            if ack.get("duplicate"):
                resume = {"turnId": turn.id, "after": turn.after}
                await self._wire.emit("resume", resume, self._wire.complain)
            await self._stop(turn)

        message = {"text": turn.text, "messageId": turn.message_id}
        await self._wire.emit("user_message_stream", message, acknowledged)

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
                await self._wire.freshen()
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

"""One client at the door: its events in, the acks and events out."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import pydantic
import structlog

from talksy.errors import (
    InternalError,
    TalksyError,
    UnknownEvent,
    ValidationError,
    error_payload,
)
from talksy.events import Fault
from talksy.gateway import Call, Connection, Gateway, Hello, Say, VoiceStart
from talksy.ids import new_id
from talksy.logs import Served, serving
from talksy.transports import wire
from talksy.transports.faults import validation_error
from talksy.transports.shapes import (
    Ack,
    AuthRefreshed,
    MessageAccepted,
    SessionEnded,
    SessionInfo,
    ToolCallAccepted,
    ToolDecisionTaken,
    TurnCancelled,
    TurnResumed,
    VoiceStarted,
)
from talksy.transports.socketio.contract import ASKED
from talksy.transports.socketio.outbox import Outbox
from talksy.transports.socketio.payloads import (
    Audio,
    AuthRefresh,
    CallTool,
    Cancel,
    GetHistory,
    GetToolInfo,
    Handshake,
    ListTools,
    Nothing,
    Played,
    ResumeTurn,
    StartVoice,
    StreamedMessage,
    ToolDecision,
    UserMessage,
)

log = structlog.get_logger(__name__)

P = TypeVar("P", bound=pydantic.BaseModel)


@dataclass(frozen=True, slots=True)
class Reply:
    """What an event's ack says, and what is to be done once it is on its way."""

    ack: Ack
    then: Callable[[], None] | None = None


def parse(model: type[P], value: Any) -> P:
    """The payload as ``model``. Raises ``ValidationError`` that names what is wrong with it."""
    try:
        return model.model_validate(value)
    except pydantic.ValidationError as error:
        raise validation_error(error) from None


def hello(auth: Any, *, bearer: str | None, session_id: str | None) -> Hello:
    """The handshake: ``auth``, else the header's token and the query's session id."""
    words = parse(Handshake, {} if auth is None else auth)
    if session_id is not None:
        session_id = parse(Handshake, {"sessionId": session_id}).session_id
    return Hello(
        token=bearer if words.token is None else words.token,
        session_id=words.session_id or session_id,
        reopen=words.open,
        resume=[(turn.turn_id, turn.after) for turn in words.resume],
    )


def _ours(error: Exception) -> InternalError:
    """A fault of ours: the client gets a number, the log the exception under it."""
    told = InternalError(_request_id())
    log.error("event_failed", request_id=told.request_id, exc_info=error)
    return told


def _request_id() -> str:
    """The number of the event that is being served, the same as in its log lines."""
    served = serving.get()
    return new_id("req") if served is None else served.request_id


class Desk:
    """Serves one connected client, one event after the other."""

    def __init__(
        self, gateway: Gateway, connection: Connection, outbox: Outbox, greeting: Hello
    ) -> None:
        self._gateway = gateway
        self._connection = connection
        self._outbox = outbox
        self._greeting = greeting

    async def open(self) -> None:
        """The client knows that it is connected: it is told the rest."""
        self._outbox.open()
        try:
            await self._gateway.welcome(self._connection, self._greeting)
        except TalksyError as error:
            self._outbox.close(error)
        except Exception as error:  # noqa: BLE001 - told and logged
            self._outbox.close(_ours(error))

    def hand(self, frames: Sequence[bytes]) -> None:
        """Gives the client a packet that another process sent it."""
        self._outbox.pass_on(frames)

    def close(self) -> None:
        """The client has gone."""
        self._outbox.shut()
        self._gateway.leave(self._connection)

    async def receive(self, name: str, arguments: Sequence[Any], number: int | None) -> None:
        """Serves an event and acknowledges it under ``number``, where the client asked for it."""
        session = self._connection.session
        former = serving.set(Served(session.id if session else None))
        try:
            await self._receive(name, arguments, number)
        finally:
            serving.reset(former)

    async def _receive(self, name: str, arguments: Sequence[Any], number: int | None) -> None:
        then: Callable[[], None] | None = None
        try:
            reply = await self._serve(name, arguments)
            then = reply.then
            if number is not None:
                self._outbox.ack(number, reply.ack)
        except TalksyError as error:
            self.refuse(error, number)
        except Exception as error:  # noqa: BLE001 - told and logged
            self.refuse(_ours(error), number)
        finally:
            if then is not None:
                then()

    def hear(self, pcm: bytes) -> None:
        """Serves sound that nobody asks an acknowledgement for: it comes all the time."""
        try:
            self._gateway.hear(self._connection, pcm)
        except TalksyError as error:
            self.refuse(error)
        except Exception as error:  # noqa: BLE001 - told and logged
            self.refuse(_ours(error))

    async def malformed(self, fault: ValidationError, number: int | None) -> None:
        """Refuses what could not be read: under its number, where that could be."""
        try:
            await self._gateway.charge(self._connection)
        except TalksyError as error:
            self.refuse(error, number)
        else:
            self.refuse(fault, number)

    def refuse(self, error: TalksyError, number: int | None = None) -> None:
        """Tells of a failure, by the ack where there is one."""
        request_id = _request_id()
        payload = error_payload(error, requestId=request_id)
        if number is not None:
            self._outbox.ack(number, {"ok": False, "error": wire.fault(payload)})
        else:
            self._outbox.tell(Fault(payload))
        log.info("refused", code=error.code, request_id=request_id)

    async def _serve(self, name: str, arguments: Sequence[Any]) -> Reply:
        serve = _EVENTS.get(name)
        if name not in _COUNTED or len(arguments) > 1:
            await self._gateway.charge(self._connection)
        if serve is None:
            raise UnknownEvent(f"there is no event {name[:64]!r}")
        if len(arguments) > 1:
            raise ValidationError(f"{name} takes one payload, not {len(arguments)}")
        try:
            words = parse(ASKED[name].takes, arguments[0] if arguments else {})
        except ValidationError:
            if name in _COUNTED:
                await self._gateway.charge(self._connection)
            raise
        return await serve(self, words)

    # ---- the events

    async def user_message(self, words: UserMessage) -> Reply:
        return await self._say(words, streamed=False)

    async def user_message_stream(self, words: StreamedMessage) -> Reply:
        return await self._say(words, streamed=True, speak=words.speak)

    async def _say(self, words: UserMessage, *, streamed: bool, speak: bool = False) -> Reply:
        receipt = await self._gateway.say(
            self._connection,
            Say(
                text=words.text,
                streamed=streamed,
                message_id=words.message_id,
                on_busy=words.on_busy,
                retry=words.retry,
                model=words.model,
                speak=speak,
            ),
        )
        ack: MessageAccepted = {
            "ok": True,
            "messageId": receipt.message_id,
            "turnId": receipt.turn_id,
        }
        if receipt.queued:
            ack["queued"] = True
        if receipt.duplicate:
            ack["duplicate"] = True
        return Reply(ack, receipt.begin)

    async def get_history(self, words: GetHistory) -> Reply:
        messages = await self._gateway.history(self._connection, words.limit, words.before)
        payload = [wire.message(message) for message in messages]
        return Reply({"ok": True}, lambda: self._outbox.event(("conversation_history", payload)))

    async def get_session_info(self, _: Nothing) -> Reply:
        info = await self._gateway.info(self._connection)
        payload: SessionInfo = {
            "sessionId": info.session_id,
            "status": "active",
            "messageCount": info.message_count,
            "createdAt": wire.iso(info.created_at),
            "lastActivityAt": wire.iso(info.last_activity_at),
            "expiresAt": wire.iso(info.expires_at),
            "activeTurns": wire.active(info.active),
        }
        return Reply({"ok": True}, lambda: self._outbox.event(("session_info", payload)))

    async def cancel(self, words: Cancel) -> Reply:
        turn_id, status = await self._gateway.cancel(self._connection, words.turn_id)
        ack: TurnCancelled = {"ok": True, "turnId": turn_id, "status": status}
        return Reply(ack)

    async def resume(self, words: ResumeTurn) -> Reply:
        resumed = await self._gateway.resume(self._connection, words.turn_id, words.after)
        ack: TurnResumed = {
            "ok": True,
            "status": resumed.status,
            "firstSeq": 0,
            "lastSeq": resumed.last_seq,
        }
        if resumed.already:
            ack["already"] = True
        return Reply(ack, resumed.begin)

    async def list_tools(self, words: ListTools) -> Reply:
        tools = self._gateway.tools(self._connection, words.category)
        payload = [wire.tool(definition, self._gateway.tool_ms) for definition in tools]
        return Reply({"ok": True}, lambda: self._outbox.event(("tools_list", payload)))

    async def get_tool_info(self, words: GetToolInfo) -> Reply:
        definition = self._gateway.tool(self._connection, words.tool_name)
        payload = wire.tool(definition, self._gateway.tool_ms)
        return Reply({"ok": True}, lambda: self._outbox.event(("tool_info", payload)))

    async def call_tool(self, words: CallTool) -> Reply:
        call = Call(words.tool_name, words.parameters, words.call_id)
        called = await self._gateway.call(self._connection, call)
        ack: ToolCallAccepted = {"ok": True, "callId": called.call_id}
        return Reply(ack, called.begin)

    async def tool_decision(self, words: ToolDecision) -> Reply:
        verdict = await self._gateway.decide(self._connection, words.call_id, words.decision)
        ack: ToolDecisionTaken = {"ok": True, "decision": verdict.decision}
        if verdict.already:
            ack["already"] = True
        return Reply(ack, verdict.begin)

    async def voice_start(self, words: StartVoice) -> Reply:
        listening = await self._gateway.voice_start(
            self._connection,
            VoiceStart(
                mode=words.mode,
                profile=words.profile,
                sample_rate=words.sample_rate,
                language=words.language,
                voice=words.voice,
                turn_detection=words.turn_detection,
            ),
        )
        ack: VoiceStarted = {
            "ok": True,
            "streamId": listening.stream_id,
            "profile": listening.profile,
            "autoStart": listening.auto_start,
        }
        return Reply(ack)

    async def audio(self, words: Audio) -> Reply:
        self._gateway.hear(self._connection, words.root)
        return Reply({"ok": True})

    async def played(self, words: Played) -> Reply:
        self._gateway.played(self._connection, words.turn_id, words.ms)
        return Reply({"ok": True})

    async def voice_stop(self, _: Nothing) -> Reply:
        await self._gateway.voice_stop(self._connection)
        return Reply({"ok": True})

    async def auth_refresh(self, words: AuthRefresh) -> Reply:
        expires_at = await self._gateway.renew(self._connection, words.token)
        ack: AuthRefreshed = {"ok": True, "expiresAt": wire.iso(expires_at)}
        return Reply(ack)

    async def end_session(self, _: Nothing) -> Reply:
        row = await self._gateway.end(self._connection)
        ack: SessionEnded = {
            "ok": True,
            "endedAt": wire.iso(row.ended_at or 0),
            "durationSeconds": row.duration_seconds,
        }
        return Reply(ack)


Serve = Callable[[Desk, Any], Awaitable[Reply]]

_EVENTS: Mapping[str, Serve] = {
    "user_message": Desk.user_message,
    "user_message_stream": Desk.user_message_stream,
    "get_history": Desk.get_history,
    "get_session_info": Desk.get_session_info,
    "cancel": Desk.cancel,
    "resume": Desk.resume,
    "list_tools": Desk.list_tools,
    "get_tool_info": Desk.get_tool_info,
    "call_tool": Desk.call_tool,
    "tool_decision": Desk.tool_decision,
    "voice_start": Desk.voice_start,
    "audio": Desk.audio,
    "played": Desk.played,
    "voice_stop": Desk.voice_stop,
    "auth_refresh": Desk.auth_refresh,
    "end_session": Desk.end_session,
}
"""What is done for each; the contract says what each takes."""
_COUNTED = frozenset({"user_message", "user_message_stream", "call_tool", "audio", "played"})
"""Events that the gateway counts in its own way; all others are counted as reads."""

"""What clients send, as the models that validate it.

Fields are camelCase on the wire; one that is not named here is refused by name.
"""

import binascii
from base64 import b64decode
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    RootModel,
    StringConstraints,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from talksy.audio import IN_RATE
from talksy.events import Decision
from talksy.gateway import Mode
from talksy.tools import Category
from talksy.voice import TurnDetection
from talksy.voice.profiles import Language, Name

Id = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,128}$")]
ToolName = Annotated[str, StringConstraints(min_length=1, max_length=128)]
Token = Annotated[str, StringConstraints(max_length=8192)]
After = Annotated[int, Field(ge=-1, le=2**52)]


def _pcm(given: Any) -> Any:
    if isinstance(given, str):
        try:
            return b64decode(given, validate=True)
        except (binascii.Error, ValueError):
            raise PydanticCustomError("base64", "is not the base64 of audio") from None
    if not isinstance(given, bytes):
        raise PydanticCustomError(
            "pcm", "is no audio: send PCM as a binary attachment, or as base64"
        )
    return given


_AUDIO = {
    "anyOf": [
        {"contentMediaType": "application/octet-stream"},
        {"type": "string", "contentEncoding": "base64"},
    ],
    "description": "Signed 16-bit little-endian PCM, one channel, at the rate of `voice_start`: "
    "the bytes themselves as a binary attachment, or base64 where a client has nothing better.",
}


class Payload(BaseModel):
    """Base of all: strict types, no unknown fields."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        alias_generator=to_camel,
        frozen=True,
        populate_by_name=False,
        use_attribute_docstrings=True,
    )


class ResumeTurn(Payload):
    """A turn to go on with."""

    turn_id: Id
    after: After
    """The last `seq` seen, -1 for none."""


class Handshake(Payload):
    """``auth`` of the connection."""

    token: Token | None = None
    """An access token, or a guest's; none makes a new guest, where guests are let in."""
    session_id: Id | None = None
    """The session to come back to."""
    open: bool = False
    """Reopen it if it has ended."""
    resume: list[ResumeTurn] = Field(default=[], max_length=20)
    """Turns to go on with."""


class UserMessage(Payload):
    """A message that asks for an answer."""

    text: str
    """What is said: not blank, and without NUL."""
    message_id: Id | None = None
    """The client's own id for it: said again under it, it starts nothing."""
    on_busy: Literal["queue", "reject", "interrupt"] = "queue"
    """What to do while another turn runs."""
    model: str | None = Field(default=None, max_length=128)
    """One of the models that may be chosen; the usual one unless it is named."""
    retry: bool = False
    """Ask again where the last answer to this `messageId` did not end `completed`."""


class StreamedMessage(UserMessage):
    """A message that asks for an answer as it comes."""

    speak: bool = False
    """Speak the answer, where `voice_start` has been sent."""


class GetHistory(Payload):
    """A page of the conversation: the newest messages, or those before another."""

    limit: int = Field(default=50, ge=1, le=100)
    """How many at most."""
    before: Id | None = None
    """The id of the message that the page ends before."""


class Cancel(Payload):
    """A turn to end."""

    turn_id: Id | None = None
    """The running one unless it is named."""


class ListTools(Payload):
    """The tools that may be used."""

    category: Category | None = None
    """Those of one category; all unless it is named."""


class GetToolInfo(Payload):
    """One tool to be told of."""

    tool_name: ToolName


class CallTool(Payload):
    """A tool to call."""

    tool_name: ToolName
    parameters: dict[str, Any] = Field(default={})
    """As the tool's own `parameters` describe them."""
    call_id: Id | None = None
    """The client's own id for the call: `tool_result` has it again."""


class ToolDecision(Payload):
    """What a person says to a call that waits for one."""

    call_id: Id
    """As its `tool_call` names it."""
    decision: Decision


class StartVoice(Payload):
    """A microphone to listen to."""

    mode: Mode = "turn"
    """`turn`: what is said is answered; `transcribe`: it is only written down; `dictate`: all of it
    is answered at `voice_stop`."""
    profile: Name | None = None
    """Settings by name: your own, or one of those that are built in."""
    sample_rate: int = Field(default=IN_RATE, ge=8_000, le=48_000)
    """Samples a second of the PCM that will be sent."""
    language: Language | None = None
    """What is spoken; as the profile has it unless it is named."""
    voice: str | None = Field(default=None, min_length=1, max_length=128)
    """The voice of the answers; as the profile has it unless it is named."""
    turn_detection: TurnDetection | None = None
    """What is said here stands over the profile's."""


class Audio(RootModel[Annotated[bytes, BeforeValidator(_pcm), WithJsonSchema(_AUDIO)]]):
    """The next piece of what the microphone hears, of any length."""


class Played(Payload):
    """How much of an answer has been heard."""

    turn_id: Id
    ms: float = Field(ge=0, le=86_400_000)
    """Milliseconds of its sound that were played, from its start."""


class AuthRefresh(Payload):
    """Another token for the socket to go on under."""

    token: Token
    """Of the same user."""


class Nothing(Payload):
    """An event without a payload."""

"""What clients send, as the models that validate it.

Fields are camelCase on the wire; one that is not named here is refused by name.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

from talksy.events import Decision
from talksy.tools import Category

Id = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,128}$")]
ToolName = Annotated[str, StringConstraints(min_length=1, max_length=128)]
Token = Annotated[str, StringConstraints(max_length=8192)]
After = Annotated[int, Field(ge=-1, le=2**52)]


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


class AuthRefresh(Payload):
    """Another token for the socket to go on under."""

    token: Token
    """Of the same user."""


class Nothing(Payload):
    """An event without a payload."""

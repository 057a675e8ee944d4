"""What clients send, as the models that validate it.

Fields are camelCase on the wire; one that is not named here is refused by name.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

TurnId = Annotated[str, StringConstraints(min_length=1, max_length=64)]
MessageId = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,128}$")]
After = Annotated[int, Field(ge=-1, le=2**52)]


class Payload(BaseModel):
    """Base of all: strict types, no unknown fields."""

    model_config = ConfigDict(
        strict=True, extra="forbid", alias_generator=to_camel, frozen=True, populate_by_name=False
    )


class ResumeTurn(Payload):
    """A turn to go on with: ``after`` is the last ``seq`` seen, -1 for none."""

    turn_id: TurnId
    after: After


class Handshake(Payload):
    """``auth`` of the connection."""

    token: str | None = Field(default=None, max_length=8192)
    session_id: str | None = Field(default=None, max_length=64)
    open: bool = False
    """Reopen a session that has ended."""
    resume: list[ResumeTurn] = Field(default=[], max_length=20)


class UserMessage(Payload):
    """A message that asks for an answer. ``messageId`` is the client's own id for it."""

    text: str
    message_id: MessageId | None = None
    on_busy: Literal["queue", "reject", "interrupt"] = "queue"
    model: str | None = Field(default=None, max_length=128)
    retry: bool = False


class GetHistory(Payload):
    """The newest ``limit`` messages, or those before the message ``before``."""

    limit: int = Field(default=50, ge=1, le=100)
    before: MessageId | None = None


class Cancel(Payload):
    """The turn to end; the running one unless it is named."""

    turn_id: TurnId | None = None


class Nothing(Payload):
    """An event without a payload."""

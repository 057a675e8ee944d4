"""What the contract says of an event, and what its parts share."""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel

from talksy.errors import InternalError, Overloaded, RateLimited, TalksyError, ValidationError
from talksy.transports import shapes
from talksy.transports.schemas import Json

SESSION = "ses_9cQ2vXo7TnE4Jr1K"
TURN = "trn_6Lm0yZbW8sUa3HdP"
MESSAGE = "msg_1Vt5KgRf7NxC2eQj"
CALL = "call_8Qd4Wj1ZsXn5Vb0T"
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1c3JfMmYifQ.c2lnbmF0dXJl"  # noqa: S105 - an example
NOW = 1_795_253_400_000
LATER = "2026-11-21T09:45:00.000Z"
SAID = shapes.Message(id=MESSAGE, role="user", content="Hello!", timestamp=NOW, turnId=TURN)
ERROR = shapes.Error(
    code="VALIDATION_ERROR",
    message="text is required",
    errors=[{"path": "text", "message": "is required"}],
    requestId="req_5f0c1c9d8e7b4a36",
)

ALWAYS = (ValidationError, RateLimited, Overloaded, InternalError)
"""What any event may be refused for."""


@dataclass(frozen=True, slots=True)
class Asked:
    """An event that clients send."""

    does: str
    takes: type[BaseModel]
    example: Json
    gives: type[shapes.Accepted]
    accepted: shapes.Ack
    """An example of the ack."""
    refusals: Sequence[type[TalksyError]]
    then: Sequence[str] = ()
    """The events that follow."""


@dataclass(frozen=True, slots=True)
class Told:
    """An event that clients are sent."""

    when: str
    example: shapes.ServerEvent

"""A turn that waits for a person: data, with which anybody can go on."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from talksy.events import ToolAsked
from talksy.messages import Prompt, ToolCall, Usage


@dataclass(frozen=True, slots=True)
class Waiting:
    """A call that somebody has to approve."""

    call: ToolCall
    expires_at: int
    """Milliseconds since the epoch."""

    @property
    def asked(self) -> ToolAsked:
        """As it is shown."""
        call = self.call
        return ToolAsked(call.id, call.name, call.arguments or {}, self.expires_at)


@dataclass(frozen=True, slots=True)
class Parked:
    """How far a turn has come that waits."""

    waiting: Sequence[Waiting]
    """In the order in which they were asked for. They are to be shown once somebody can decide."""
    rounds: Sequence[Prompt]
    """What was said and done since the question."""
    steps: int
    """How often the model asked for tools."""
    said: str
    """The text that was given."""
    usage: Usage | None = None
    lenient: bool = True
    """The model has not written broken arguments yet."""

    @property
    def expires_at(self) -> int:
        """When the first of the calls is not waited for any more."""
        return min(waiting.expires_at for waiting in self.waiting)

    def data(self) -> dict[str, Any]:
        """All of it, as JSON has it."""
        return asdict(self)

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Self:
        """What ``data`` was given. Raises ``TypeError`` or ``KeyError`` for another version's."""
        values = dict(data)
        usage = values.pop("usage")
        return cls(
            **{
                **values,
                "waiting": [
                    Waiting(ToolCall(**each["call"]), each["expires_at"])
                    for each in values["waiting"]
                ],
                "rounds": [
                    Prompt(**{**each, "calls": [ToolCall(**call) for call in each["calls"]]})
                    for each in values["rounds"]
                ],
            },
            usage=Usage(**usage) if usage else None,
        )

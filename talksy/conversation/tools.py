"""Tools as a turn knows them: what a model is told of them, and a way to call one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from talksy.errors import ToolNotFound
from talksy.events import ToolDone
from talksy.messages import ToolCall, ToolSpec


@dataclass(frozen=True, slots=True)
class Checked:
    """A call that may be made."""

    arguments: Mapping[str, Any]
    """As they will be used."""
    expires_at: int | None = None
    """Where a person must approve it first: until when, in milliseconds since the epoch."""


class Tools(Protocol):
    """The tools of one turn."""

    @property
    def specs(self) -> Sequence[ToolSpec]:
        """What the model is told of."""
        ...

    def check(self, name: str, arguments: Mapping[str, Any]) -> Checked:
        """Whether a call may be made. Raises a ``TalksyError`` where it may not."""
        ...

    async def run(self, call: ToolCall, *, approved: bool) -> ToolDone:
        """Makes a call that was checked; ``approved`` where a person said so.

        Raises a ``TalksyError`` where it was not made. A call that is cut short has come to its end
        when this has.
        """
        ...

    def ended(self, call_id: str) -> ToolDone | None:
        """What a call came to, where that was known before it was cut short."""
        ...


class NoTools:
    """``Tools`` of a turn that has none."""

    specs: Sequence[ToolSpec] = ()

    def check(self, name: str, arguments: Mapping[str, Any]) -> Checked:  # noqa: ARG002
        """There is nothing to call."""
        raise ToolNotFound

    async def run(self, call: ToolCall, *, approved: bool) -> ToolDone:  # noqa: ARG002
        """There is nothing to call."""
        raise ToolNotFound

    def ended(self, call_id: str) -> ToolDone | None:  # noqa: ARG002
        """There is nothing to call."""
        return None

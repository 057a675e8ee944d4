"""What every language model promises."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from talksy.events import Delta
from talksy.messages import Prompt, Usage

__all__ = ["Delta", "LanguageModel", "Part", "ToolCall", "ToolSpec", "Used"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The model asks for a tool, its arguments complete."""

    id: str
    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Used:
    """What the answer cost, at most once and after the last delta."""

    usage: Usage


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as a model is told of it; ``parameters`` is a JSON Schema."""

    name: str
    description: str
    parameters: dict[str, Any]


Part = Delta | ToolCall | Used


class LanguageModel(Protocol):
    """A model of one vendor. Streams of it may run side by side."""

    @property
    def provider(self) -> str:
        """The vendor's name, such as ``openai``."""
        ...

    @property
    def model(self) -> str:
        """The vendor's name of the model."""
        ...

    def stream(
        self, messages: Sequence[Prompt], tools: Sequence[ToolSpec] = ()
    ) -> AsyncGenerator[Part]:
        """The answer to ``messages``, part by part: ``Delta* ToolCall* Used?``.

        Closing the generator closes the request to the vendor. Raises ``ProviderUnavailable`` or
        ``ProviderTimeout``, whose messages name no secret and carry no vendor text.
        """
        ...

    async def ping(self) -> None:
        """Returns when the vendor can be reached; raises as ``stream`` does. Costs no tokens."""
        ...

    async def close(self) -> None:
        """Gives back connections."""
        ...

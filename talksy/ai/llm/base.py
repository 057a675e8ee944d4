"""What every language model promises."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from talksy.errors import Cause
from talksy.events import Delta, StreamReset
from talksy.messages import Prompt, ToolCall, ToolSpec, Usage

__all__ = [
    "Answering",
    "BreakerState",
    "Delta",
    "LanguageModel",
    "Outcome",
    "Part",
    "StreamReset",
    "ToolCall",
    "ToolSpec",
    "Unwatched",
    "Used",
    "Watcher",
    "Working",
]

Outcome = Cause | Literal["ok", "cancelled"]
"""How a call of a provider ended."""
BreakerState = Literal["closed", "open", "half_open"]


@dataclass(frozen=True, slots=True)
class Answering:
    """Who answers from here on."""

    provider: str
    model: str
    degraded: bool = False
    """It was not the first choice."""


@dataclass(frozen=True, slots=True)
class Working:
    """A sign of life: the model is at what is no text, a thought or the arguments of a call."""


@dataclass(frozen=True, slots=True)
class Used:
    """What the answer cost, at most once and after the last delta."""

    usage: Usage


Part = Answering | Delta | StreamReset | ToolCall | Used | Working


@runtime_checkable
class LanguageModel(Protocol):
    """A model of one vendor, or of several behind it. Streams of it may run side by side."""

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
        """The answer to ``messages``, part by part: ``(Delta | Working)* ToolCall* Used?``.

        Where several vendors stand behind it, ``Answering`` says who it is before the first part of
        each, and ``StreamReset`` stands before it where what came so far is void.

        A ``ToolCall`` has an id of its own, and no arguments where what the model wrote is no JSON
        object.

        Closing the generator closes the request to the vendor. Raises ``ProviderUnavailable`` or
        ``ProviderTimeout``, whose messages name no secret and carry no vendor text.
        """
        ...

    async def ping(self) -> None:
        """Returns when the vendor can be reached; raises as ``stream`` does. Costs no tokens.

        The ``hint`` of what it raises tells the operator what to put right.
        """
        ...

    async def close(self) -> None:
        """Gives back connections."""
        ...


class Watcher(Protocol):
    """Who is told what providers do, at once and in the task of the turn. It must not raise."""

    def called(self, provider: str, model: str, outcome: Outcome, seconds: float) -> None:
        """A call has ended; each attempt is one."""
        ...

    def first_token(self, provider: str, model: str, seconds: float) -> None:
        """The first text of a call has come, so long after it began."""
        ...

    def retried(self, provider: str, model: str) -> None:
        """A call failed and is made again."""
        ...

    def moved(self, provider: str, model: str, *, reset: bool) -> None:
        """The next provider answers in this one's place; with ``reset``, text of it is void."""
        ...

    def breaker(self, provider: str, model: str, state: BreakerState) -> None:
        """A circuit breaker has changed."""
        ...


class Unwatched:
    """A ``Watcher`` that looks away."""

    def called(self, provider: str, model: str, outcome: Outcome, seconds: float) -> None:
        """Nobody wants to know."""

    def first_token(self, provider: str, model: str, seconds: float) -> None:
        """Nobody wants to know."""

    def retried(self, provider: str, model: str) -> None:
        """Nobody wants to know."""

    def moved(self, provider: str, model: str, *, reset: bool) -> None:
        """Nobody wants to know."""

    def breaker(self, provider: str, model: str, state: BreakerState) -> None:
        """Nobody wants to know."""

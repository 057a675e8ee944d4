"""What a tool is: what is told of it, and what may be done with it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from talksy.events import ToolStatus
from talksy.messages import ToolSpec

Category = Literal["utility", "data", "communication", "system", "custom"]
Policy = Literal["auto", "ask", "deny"]
"""Whether it just runs, a person is asked first, or it never runs."""

BASIC = "tools:basic"
"""The scope that everybody has."""


@dataclass(frozen=True, slots=True)
class ToolDefinition:
    """A tool as it is told of."""

    name: str
    """Up to 64 letters, digits, ``_`` and ``-``, a letter first: what vendors take."""
    description: str
    parameters: Mapping[str, Any]
    """The JSON Schema of an object."""
    category: Category = "custom"
    version: str = "1.0.0"
    timeout_ms: int | None = None
    """How long a call may take; None for the usual time."""
    policy: Policy = "auto"
    idempotent: bool = False
    """Called again with the same arguments it does no harm."""
    scope: str = BASIC
    """What a caller's token must have in its ``scope``."""
    sandboxed: bool = False
    deprecated: str | None = None
    """Why it should be used no more."""
    source: str = ""
    """Where it comes from: a module, an entry point or an MCP server."""

    @property
    def spec(self) -> ToolSpec:
        """As a model is told of it."""
        return ToolSpec(self.name, self.description, self.parameters)


@dataclass(frozen=True, slots=True)
class Caller:
    """For whom a tool runs."""

    effect_id: str
    """The same for every attempt at one call: a key of idempotency for what the tool calls."""
    user_id: str
    session_id: str
    scopes: frozenset[str] = frozenset({BASIC})
    turn_id: str | None = None
    """None where a client calls it."""


@dataclass(frozen=True, slots=True)
class ToolResult:
    """How a call ended."""

    status: ToolStatus
    result: Any = None
    """As JSON has it; None where there is an ``error``."""
    error: Mapping[str, Any] | None = None
    """``{code, message, …}``, for the client and for the model."""
    ms: int = 0
    """How long it ran; waiting does not count."""


class Tool(Protocol):
    """Something to call."""

    @property
    def definition(self) -> ToolDefinition:
        """What is told of it."""
        ...

    def check(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """The arguments as they will be used, defaults filled in; as JSON has them.

        Raises ``ValidationError`` with each path.
        """
        ...

    def asks(self, arguments: Mapping[str, Any]) -> bool:
        """Whether a person must approve a call with these checked arguments."""
        ...

    async def run(self, arguments: Mapping[str, Any], caller: Caller) -> Any:
        """Calls it with checked arguments and returns what it returns.

        Raises a ``TalksyError`` that may be told, or anything else for a fault of the tool's.
        """
        ...

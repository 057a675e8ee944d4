"""A tool of an MCP server, as all others are called."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from mcp_types import CallToolResult

from talksy.errors import ToolFailed
from talksy.tools.definition import Caller, ToolDefinition
from talksy.tools.faults import validation_error
from talksy.tools.mcp.naming import tool_name
from talksy.tools.mcp.offers import Offer
from talksy.tools.mcp.results import complaint, plain
from talksy.tools.mcp.servers import McpServer

Call = Callable[[str, Mapping[str, Any], str], Awaitable[CallToolResult]]
"""Calls a tool by its server's name for it, with arguments and an effect's id. Raises
``ToolFailed``."""


class McpTool:
    """What a server offers, under a name and the rules of the operator."""

    def __init__(self, server: McpServer, offer: Offer, call: Call) -> None:
        options = server.options(offer.name)
        self._offer = offer
        self._call = call
        self.definition = ToolDefinition(
            name=tool_name(server.name, offer.name),
            description=offer.description,
            parameters=offer.parameters,
            category=server.category,
            timeout_ms=options.timeout_ms or server.timeout_ms,
            policy=options.policy or server.policy,
            # A false word here harms nobody but the server that gave it.
            idempotent=offer.idempotent if options.idempotent is None else options.idempotent,
            scope=options.scope or server.scope,
            source=server.source,
        )

    def check(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """The arguments as they are: their defaults are for the server to fill in."""
        if faults := self._offer.arguments.faults(arguments):
            raise validation_error(faults)
        return arguments

    def asks(self, arguments: Mapping[str, Any]) -> bool:  # noqa: ARG002 - all calls alike
        """Whether a person must approve a call."""
        return self.definition.policy == "ask"

    async def run(self, arguments: Mapping[str, Any], caller: Caller) -> Any:
        """Calls the server. Raises ``ToolFailed``, which says whose fault it is."""
        answer = await self._call(self._offer.name, arguments, caller.effect_id)
        name = self.definition.name
        if answer.is_error:
            raise ToolFailed(f"{name} says that it failed: {complaint(answer)}")
        if (results := self._offer.results) is not None:
            if answer.structured_content is None:
                raise ToolFailed(f"{name} returned nothing of what its outputSchema promises.")
            if faults := results.faults(answer.structured_content):
                path, message = faults[0]
                where = path or "its result"
                raise ToolFailed(f"{name} broke its own outputSchema: {where} {message}.")
        return plain(answer)

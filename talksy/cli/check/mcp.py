"""The MCP servers: which are there, and what they offer."""

from collections.abc import AsyncGenerator

from talksy.cli.check.findings import Finding
from talksy.config import Settings
from talksy.tools import Toolbox
from talksy.tools.mcp import open_mcp

SECONDS = 10.0
"""How long they may take to show their tools."""


async def mcp(settings: Settings) -> AsyncGenerator[Finding]:
    """How each of them stands. A node starts without those that are away, and goes on calling."""
    servers = settings.tool_mcp_servers
    try:
        async with Toolbox() as toolbox, open_mcp(servers, toolbox) as links:
            await links.settle(SECONDS)
            states = links.states()
    except ValueError as error:
        yield Finding("mcp", "failed", f"TOOL_MCP_SERVERS: {error}", "docs/tools.md has an example")
        return
    for state in states:
        if state.reason is None:
            yield Finding("mcp", "ok", f"{state.name} has {state.tools} tools")
        else:
            hint = "start it, or correct TOOL_MCP_SERVERS"
            yield Finding("mcp", "risky", f"{state.name} is away: {state.reason}", hint)

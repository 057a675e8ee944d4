"""Tools of MCP servers. What needs the SDK is imported when a server is listed."""

from talksy.tools.mcp.links import McpLinks, McpState, open_mcp
from talksy.tools.mcp.servers import McpServer, ToolOptions, read_servers

__all__ = ["McpLinks", "McpServer", "McpState", "ToolOptions", "open_mcp", "read_servers"]

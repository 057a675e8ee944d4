"""An MCP server that means well, by the SDK: on stdio, or by HTTP on the port it is given.

By HTTP it lets in who knows the password, ``Bearer sesame``.
"""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from mcp_types import ToolAnnotations

office = MCPServer("office")


@office.tool(annotations=ToolAnnotations(read_only_hint=True))
def add(a: int, b: int) -> int:
    """Adds two whole numbers."""
    return a + b


@office.tool()
async def wait(path: str) -> str:
    """Takes an hour, and leaves a note where it is told to stop."""
    Path(path).with_suffix(".begun").touch()
    try:
        await asyncio.sleep(3_600)
    except asyncio.CancelledError:
        Path(path).touch()  # noqa: ASYNC240 - it has nothing else to do
        raise
    return "done"


@office.tool()
def die() -> str:
    """Ends the server in the middle of the call."""
    os._exit(3)


@office.tool()
async def hire(person: str, context: Context[Any]) -> str:
    """Adds a tool to the list, and tells of it."""
    office.add_tool(lambda: person, name=person, description="Says its name.")
    await context.notify_tools_changed()
    return person


async def guarded(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http" and dict(scope["headers"]).get(b"authorization") != b"Bearer sesame":
        await send({"type": "http.response.start", "status": 401, "headers": []})
        await send({"type": "http.response.body", "body": b""})
        return
    await app(scope, receive, send)


if __name__ == "__main__":
    if sys.argv[1:]:
        app = office.streamable_http_app()
        uvicorn.run(guarded, port=int(sys.argv[1]), log_level="warning")
    else:
        office.run()

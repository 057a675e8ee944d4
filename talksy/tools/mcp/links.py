"""The MCP servers of a node: all of them together."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog

from talksy.tools.mcp.servers import read_servers
from talksy.tools.toolbox import Toolbox

if TYPE_CHECKING:
    from talksy.tools.mcp.link import Link, Patience

log = structlog.get_logger(__name__)

NEEDED = ("mcp", "mcp_types")


@dataclass(frozen=True, slots=True)
class McpState:
    """How a server stands."""

    name: str
    tools: int
    """As many are offered."""
    reason: str | None = None
    """Why it is away, for operators; None while it is there."""


class McpLinks:
    """The connections of a node."""

    def __init__(self, links: Sequence["Link"] = ()) -> None:
        self._links = links

    def states(self) -> Sequence[McpState]:
        """How each server stands, as it is known anyway."""
        return [McpState(link.server.name, link.tools, link.reason) for link in self._links]

    async def settle(self, seconds: float) -> None:
        """Waits until each server is there or known to be away, but no longer than that."""
        if tries := [asyncio.ensure_future(link.tried.wait()) for link in self._links]:
            _, late = await asyncio.wait(tries, timeout=seconds)
            for each in late:
                each.cancel()


@asynccontextmanager
async def open_mcp(
    servers: Mapping[str, Mapping[str, Any]],
    toolbox: Toolbox,
    *,
    patience: "Patience | None" = None,
) -> AsyncIterator[McpLinks]:
    """Keeps the tools of the servers in ``toolbox``; it waits for none of them.

    Raises ``ValueError`` where the servers are not described as they should be, and where the extra
    is missing.
    """
    listed = read_servers(servers)
    if not listed:
        yield McpLinks()
        return
    try:
        from talksy.tools.mcp.link import Link
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in NEEDED:
            raise
        raise ValueError("it needs the extra mcp: pip install 'talksy[mcp]'") from error
    # Its lines hold what servers send, and what they are sent.
    logging.getLogger("mcp").setLevel(logging.CRITICAL)
    links = [Link(server, toolbox, patience) for server in listed]
    tasks = [asyncio.create_task(link.run(), name=link.server.source) for link in links]
    for task in tasks:
        task.add_done_callback(_done)
    try:
        yield McpLinks(links)
    finally:
        for link, task in zip(links, tasks, strict=True):
            link.stop()
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _done(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        log.error("mcp_failed", task=task.get_name(), exc_info=error)

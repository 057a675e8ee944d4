"""What a server says of its tools, read before the SDK does.

The SDK takes a list of tools whole or not at all, and checks what tools return by expressions that
may take for ever. Here each tool is read by itself, one that is not as it should be costs nobody
else, and what it says of its results is kept for us to check.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pydantic
import structlog
from mcp.shared.dispatcher import CallOptions
from mcp.shared.jsonrpc_dispatcher import JSONRPCDispatcher
from mcp.shared.transport_context import TransportContext
from mcp_types import RequestId
from mcp_types.methods import validate_server_result

from talksy.messages import clean
from talksy.tools.mcp.servers import McpServer
from talksy.tools.schema import Checks, SchemaFault

log = structlog.get_logger(__name__)

MAX_TOOLS = 64
"""Of a server. Vendors take about twice as many in all."""
MAX_DESCRIPTION_CHARS = 2_000


@dataclass(frozen=True, slots=True)
class Offer:
    """A tool as its server tells of it."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    arguments: Checks
    results: Checks | None
    idempotent: bool


class Offers(JSONRPCDispatcher[TransportContext]):
    """A connection on which lists of tools are read as they come."""

    def __init__(self, server: McpServer, *streams: Any) -> None:
        super().__init__(*streams)
        self._server = server
        self._told: set[tuple[str, str]] = set()
        self._told_full = False
        self.version = "2025-11-25"
        """Of the protocol, as it was agreed on."""
        self.found: dict[str, Offer] = {}
        """What the last list had, as far as it came."""
        self.full = False
        """Whether there was more than is taken."""

    def begin(self) -> None:
        """A list is about to be asked for."""
        self.found, self.full = {}, False

    def end(self) -> None:
        """It has come as far as it is taken."""
        if self.full and not self._told_full:
            self._told_full = True
            log.warning("mcp_list_cut", server=self._server.name, tools=len(self.found))

    async def send_raw_request(
        self,
        method: str,
        params: Mapping[str, Any] | None,
        opts: CallOptions | None = None,
        *,
        _related_request_id: RequestId | None = None,
    ) -> dict[str, Any]:
        raw = await super().send_raw_request(
            method, params, opts, _related_request_id=_related_request_id
        )
        if method != "tools/list" or not isinstance(raw.get("tools"), list):
            return raw
        known = []
        for tool in raw["tools"]:
            if (each := self._read(tool)) is not None:
                known.append(each)
            # Reading one may take as long as a few chunks of an answer; others go between.
            await asyncio.sleep(0)
        return {**raw, "tools": known}

    def _read(self, tool: Any) -> dict[str, Any] | None:
        """What the SDK may know of a tool; None for one that is left out."""
        name = tool.get("name") if isinstance(tool, dict) else None
        if not isinstance(name, str) or not self._server.takes(name):
            return None
        if len(self.found) == MAX_TOOLS:
            self.full = True
            return None
        known = {"name": name, "inputSchema": tool.get("inputSchema")}
        try:
            if name in self.found:
                raise SchemaFault("there are two of that name")
            validate_server_result("tools/list", self.version, _page([known]))
            self.found[name] = _offer(name, tool)
        except pydantic.ValidationError:
            self._leave_out(name, "its inputSchema is not that of an object")
        except SchemaFault as fault:
            self._leave_out(name, str(fault))
        else:
            return known
        return None

    def _leave_out(self, name: str, reason: str) -> None:
        if (name, reason) not in self._told and len(self._told) < MAX_TOOLS:
            self._told.add((name, reason))
            shown = clean(name)[:128]
            log.warning("mcp_tool_left_out", server=self._server.name, tool=shown, reason=reason)


def _page(tools: list[dict[str, Any]]) -> dict[str, Any]:
    """A list that is right in all but perhaps the tools, in any version of the protocol."""
    return {"tools": tools, "resultType": "complete", "ttlMs": 0, "cacheScope": "private"}


def _offer(name: str, tool: Mapping[str, Any]) -> Offer:
    description = tool.get("description")
    hints = tool.get("annotations")
    results = tool.get("outputSchema")
    return Offer(
        name=name,
        description=clean(description)[:MAX_DESCRIPTION_CHARS]
        if isinstance(description, str)
        else "",
        parameters=tool["inputSchema"],
        arguments=Checks(tool["inputSchema"]),
        results=None if results is None else Checks(results),
        idempotent=isinstance(hints, dict)
        and True in (hints.get("idempotentHint"), hints.get("readOnlyHint")),
    )

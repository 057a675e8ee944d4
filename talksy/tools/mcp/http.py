"""A server that is called by streamable HTTP."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING

import httpx2
from mcp.client.streamable_http import streamable_http_client

from talksy.tools.mcp.servers import McpServer
from talksy.tools.mcp.stdio import MESSAGE_BYTES

if TYPE_CHECKING:
    from mcp.client._transport import TransportStreams

TIMES = httpx2.Timeout(None, connect=10.0, write=30.0)
"""Seconds. How long an answer may take is for whoever asks."""


Noted = Callable[[str], None]
"""Is told what a server answered, where that was a refusal."""


def endpoint(server: McpServer, noted: Noted) -> "AbstractAsyncContextManager[TransportStreams]":
    """Entered, gives what the server says and the way to it."""
    return _endpoint(server, noted)


@asynccontextmanager
async def _endpoint(server: McpServer, noted: Noted) -> "AsyncIterator[TransportStreams]":
    async def look(response: httpx2.Response) -> None:
        if response.is_error:
            noted(f"it answered with HTTP {response.status_code}")
        _bound(response)

    client = httpx2.AsyncClient(
        # Packed, a little could become more than there is room for.
        headers={"accept-encoding": "identity", **server.headers},
        timeout=TIMES,
        event_hooks={"response": [look]},
    )
    async with (
        client,
        streamable_http_client(
            server.url or "", http_client=client, max_sse_event_size=MESSAGE_BYTES
        ) as streams,
    ):
        yield streams


def _bound(response: httpx2.Response) -> None:
    """Puts a limit to what is read of an answer; that of each event of a stream is the SDK's."""
    if response.headers.get("content-encoding", "identity") != "identity":
        raise httpx2.DecodingError("the server packs what it was asked not to pack")
    streamed = response.headers.get("content-type", "").lower().startswith("text/event-stream")
    if not streamed and isinstance(response.stream, httpx2.AsyncByteStream):
        response.stream = _Bounded(response.stream)


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, inner: httpx2.AsyncByteStream) -> None:
        self._inner = inner

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for piece in self._inner:
            size += len(piece)
            if size > MESSAGE_BYTES:
                # Of this kind the SDK makes an error of the one call.
                raise httpx2.StreamError(f"it is longer than {MESSAGE_BYTES} bytes")
            yield piece

    async def aclose(self) -> None:
        await self._inner.aclose()

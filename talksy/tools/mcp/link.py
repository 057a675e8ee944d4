"""The connection to one server: made, kept, and made again."""

import asyncio
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any, cast

import mcp_types as types
import pydantic
import structlog
from mcp.client.session import ClientSession
from mcp.client.subscriptions import listen
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from talksy import __version__
from talksy.errors import ToolFailed
from talksy.messages import clean
from talksy.tools.mcp.http import endpoint
from talksy.tools.mcp.offers import Offer, Offers
from talksy.tools.mcp.servers import McpServer
from talksy.tools.mcp.stdio import process
from talksy.tools.mcp.tool import McpTool
from talksy.tools.toolbox import Toolbox

log = structlog.get_logger(__name__)

CLOSED = "Connection closed"
"""What the SDK says of a call whose connection ended."""
MISSED = 3
"""So often a server may leave the question for its tools unanswered while it works."""

MAX_PAGES = 32
EFFECT_ID = "talksy/effectId"
"""The field of ``_meta`` by which a server may know a call that is made again."""
ERROR_CHARS = 1_000


@dataclass(frozen=True, slots=True)
class Patience:
    """How long things may take, in seconds."""

    connect: float = 30.0
    """From the start to the first list of tools: a server may have to be fetched first."""
    answer: float = 15.0
    """To a question for the list, where no calls run."""
    refresh: float = 60.0
    """After so long the list is asked for unasked: who does not answer is away."""
    between: float = 0.25
    """At least this lies between two questions for it."""
    first_retry: float = 0.5
    last_retry: float = 60.0
    steady: float = 60.0
    """Who was there for so long is looked for at once when it is gone."""


class Gone(Exception):
    """The server is away; the text says why, in words of ours."""


class Link:
    """One server. Its tools are in the toolbox while it is there, and only then."""

    def __init__(
        self, server: McpServer, toolbox: Toolbox, patience: Patience | None = None
    ) -> None:
        self.server = server
        self.tried = asyncio.Event()
        """Set when it is known whether the server is there."""
        self.reason: str | None = "it has not answered yet"
        """Why the server is away; None while it is there."""
        self.tools = 0
        self._toolbox = toolbox
        self._patience = patience or Patience()
        self._session: ClientSession | None = None
        self._news = asyncio.Event()
        self._gone: str | None = None
        self._answered: str | None = None
        self._calls = 0
        self._stopped = False

    async def run(self) -> None:
        """Keeps the connection until it is cancelled, and makes it again where it was lost."""
        delay, told = self._patience.first_retry, ""
        while not self._stopped:
            began = monotonic()
            try:
                await self._serve()
            except Exception as error:  # noqa: BLE001 - whatever a server does, others go on
                reason = self._gone or _reason(error, self._answered)
            finally:
                self._leave()
            if monotonic() - began > self._patience.steady:
                delay = self._patience.first_retry
            if self.reason is None or reason != told:
                log.warning("mcp_down", server=self.server.name, reason=reason)
            self.reason = told = reason
            self.tried.set()
            await asyncio.sleep(delay * random.uniform(0.75, 1.25))  # noqa: S311
            delay = min(2 * delay, self._patience.last_retry)

    def stop(self) -> None:
        """Says that the task of ``run`` is about to be cancelled."""
        self._stopped = True

    async def call(
        self, tool: str, arguments: Mapping[str, Any], effect_id: str
    ) -> types.CallToolResult:
        """Calls a tool. Raises ``ToolFailed``; cancelled, it cancels the call at the server."""
        whose = f"The MCP server {self.server.name}"
        session = self._session if self._gone is None else None
        if session is None:
            raise ToolFailed(f"{whose} is away.")
        self._calls += 1
        try:
            with self._doubted():
                answer = await session.call_tool(
                    tool,
                    dict(arguments),
                    meta=cast("types.RequestParamsMeta", {EFFECT_ID: effect_id}),
                    allow_input_required=True,
                )
        except MCPError as error:
            # Servers use this number for errors of their own, too.
            closed = self._gone is not None or error.message == CLOSED
            if error.code == types.CONNECTION_CLOSED and closed:
                raise ToolFailed(
                    f"{whose} went away in the call ({self._gone or 'the connection closed'}): "
                    "whether it did what it was asked is not known."
                ) from error
            said = clean(error.message)[:ERROR_CHARS]
            raise ToolFailed(f"{whose} refused the call ({error.code}): {said}") from error
        except (pydantic.ValidationError, RuntimeError) as error:
            raise ToolFailed(f"{whose} answered with what is no result of a tool.") from error
        finally:
            self._calls -= 1
        if isinstance(answer, types.InputRequiredResult):
            raise ToolFailed(f"{whose} asks back in a call, which nobody here can answer.")
        return answer

    @contextmanager
    def _doubted(self) -> Iterator[None]:
        """Looks after a server that did not answer as it should, or not in time."""
        try:
            yield
        except BaseException:
            self._news.set()
            raise

    async def _serve(self) -> None:
        """Is with the server until it is gone."""
        self._gone = self._answered = listener = None
        self._news.clear()
        try:
            # What the SDK opens is opened and closed in this one task.
            async with AsyncExitStack() as stack:
                try:
                    async with asyncio.timeout(self._patience.connect):
                        session, offers = await self._connect(stack)
                        await self._list(session, offers)
                except TimeoutError:
                    seconds = self._patience.connect
                    raise Gone(f"it did not answer within {seconds:g} s") from None
                self._session = session
                self._offer(list(offers.found.values()))
                log.info("mcp_up", server=self.server.name, tools=self.tools)
                self.reason = None
                self.tried.set()
                if _announces(session):
                    listener = asyncio.create_task(
                        self._listen(session), name=f"{self.server.source} changes"
                    )
                await self._follow(session, offers)
        finally:
            if listener is not None:
                listener.cancel()
                await asyncio.gather(listener, return_exceptions=True)

    async def _connect(self, stack: AsyncExitStack) -> tuple[ClientSession, Offers]:
        way = (
            process(self.server, self._lost)
            if self.server.url is None
            else endpoint(self.server, self._noted)
        )
        streams = await stack.enter_async_context(way)
        offers = Offers(self.server, *streams)
        session = await stack.enter_async_context(
            ClientSession(
                dispatcher=offers,
                message_handler=self._heard,
                client_info=types.Implementation(name="talksy", version=__version__),
            )
        )
        try:
            await session.discover()
        except (MCPError, RuntimeError, pydantic.ValidationError):
            # It does not know the newer way of meeting.
            await session.initialize()
        offers.version = session.protocol_version or offers.version
        capabilities = session.server_capabilities
        if capabilities is None or capabilities.tools is None:
            raise Gone("it has no tools")
        return session, offers

    async def _follow(self, session: ClientSession, offers: Offers) -> None:
        """Takes over what changes, until the server is gone."""
        missed = 0
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._patience.refresh):
                    await self._news.wait()
            self._news.clear()
            if self._gone is not None:
                raise Gone(self._gone)
            await asyncio.sleep(self._patience.between)
            try:
                async with asyncio.timeout(self._patience.answer):
                    await self._list(session, offers)
            except TimeoutError:
                missed += 1
                # Some do one thing at a time, but not for ever.
                if not self._calls or missed >= MISSED:
                    raise Gone("it does not answer any more") from None
                self._news.set()
            else:
                missed = 0
                self._offer(list(offers.found.values()))

    async def _list(self, session: ClientSession, offers: Offers) -> None:
        """Asks what there is, page by page."""
        offers.begin()
        cursor: str | None = None
        for _ in range(MAX_PAGES):
            page = await session.list_tools(params=types.PaginatedRequestParams(cursor=cursor))
            cursor = page.next_cursor
            if cursor is None or offers.full:
                break
        else:
            offers.full = True
        offers.end()

    def _offer(self, offers: Sequence[Offer]) -> None:
        tools = [McpTool(self.server, offer, self.call) for offer in offers]
        self._toolbox.replace(self.server.source, tools)
        self.tools = len(tools)

    def _leave(self) -> None:
        self._session = None
        self._offer(())

    async def _listen(self, session: ClientSession) -> None:
        """Hears of changes where the server tells of them on a stream of its own."""
        while True:
            with suppress(MCPError, RuntimeError):
                async with listen(session, tools_list_changed=True) as changes:
                    # What changed before the stream stood is asked for.
                    self._news.set()
                    async for _ in changes:
                        self._news.set()
            await asyncio.sleep(self._patience.refresh)

    async def _heard(self, message: object) -> None:
        if isinstance(message, types.ToolListChangedNotification):
            self._news.set()

    def _lost(self, reason: str) -> None:
        self._gone = self._gone or reason
        self._news.set()

    def _noted(self, answered: str) -> None:
        self._answered = answered


def _announces(session: ClientSession) -> bool:
    capabilities = session.server_capabilities
    return (
        session.protocol_version in MODERN_PROTOCOL_VERSIONS
        and capabilities is not None
        and capabilities.tools is not None
        and bool(capabilities.tools.list_changed)
    )


def _reason(error: BaseException, answered: str | None) -> str:
    """Why a server is away, in words of ours: its own may hold anything."""
    match error:
        case Gone():
            return str(error)
        case BaseExceptionGroup():
            return _reason(error.exceptions[0], answered)
        case MCPError():
            return answered or f"it refused ({error.code})"
        case OSError():
            return f"it cannot be started ({error.strerror or type(error).__name__})"
        case _:
            return f"it failed with {type(error).__name__}"

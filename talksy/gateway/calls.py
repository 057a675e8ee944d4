"""Tools that clients call themselves, and what people decide about calls.

A call belongs to its session and to the node that accepted it: a connection that goes ends none.
One that waits for a person is a row, and whichever node hears the decision makes it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

import orjson
import structlog

from talksy.auth import Identity
from talksy.database.calls import CallRow
from talksy.database.parking import Asked
from talksy.errors import (
    ApprovalExpired,
    IdempotencyConflict,
    InternalError,
    NotFound,
    Overloaded,
    ServerDraining,
    TalksyError,
    ToolDenied,
    ToolFailed,
    ValidationError,
)
from talksy.events import Decision, ToolAsked, ToolDecided, ToolDone, ToolStatus
from talksy.gateway.connection import Connection
from talksy.gateway.hands import Workshop
from talksy.gateway.news import News
from talksy.gateway.registry import Registry
from talksy.gateway.requests import Call, Called, Verdict
from talksy.gateway.turns import Turns
from talksy.ids import new_id
from talksy.tools import Caller, Tool, ToolDefinition, ToolResult

log = structlog.get_logger(__name__)

Told = ToolAsked | ToolDecided | ToolDone
KINDS: Mapping[str, type[Told]] = {
    kind.__name__: kind for kind in (ToolAsked, ToolDecided, ToolDone)
}
MOST_TOLD = 100_000
"""What is longer, in bytes, is not told on other nodes: they have one channel for all words."""
ASKED = "asked"
"""The word that a call waits which is too long to be told."""

LEFT_MS = 600_000
"""So long an end waits for somebody who can be told of it."""
_ADRIFT: Mapping[str, tuple[ToolStatus, TalksyError]] = {
    "waiting": ("expired", ApprovalExpired()),
    "approved": ("failed", ToolFailed("the server stopped before the tool ran")),
    "running": ("unknown", ToolFailed("the server stopped while the tool ran: it may have run")),
}
"""How calls end that nobody looks after."""


class ClientCalls:
    """The calls of this node's clients."""

    def __init__(self, shop: Workshop, *, turns: Turns, registry: Registry, news: News) -> None:
        self._shop = shop
        self._turns = turns
        self._registry = registry
        self._news = news
        self._running: dict[tuple[str, str], asyncio.Task[None]] = {}
        """By session and id."""
        self._stopped: dict[tuple[str, str], TalksyError] = {}
        """Why calls end that were told to."""
        news.on("tools", self._hear)
        news.sweep(self._look)

    # ---- what there is

    def offered(self, identity: Identity, category: str | None = None) -> list[ToolDefinition]:
        """The tools that somebody may use, by name."""
        return [
            definition
            for definition in self._shop.toolbox.offered(identity.scopes)
            if category in {None, definition.category}
        ]

    def find(self, identity: Identity, name: str) -> ToolDefinition:
        """One of them. Raises ``ToolNotFound``, ``ToolDenied`` or ``Forbidden``."""
        return self._shop.toolbox.find(name, identity.scopes).definition

    # ---- calls

    def check(self, identity: Identity, call: Call) -> tuple[Tool, Mapping[str, Any]]:
        """The tool that is called, and with what.

        Raises ``ToolNotFound``, ``ToolDenied``, ``Forbidden``, ``PayloadTooLarge`` or
        ``ValidationError`` with each path.
        """
        tool = self._shop.toolbox.find(call.tool, identity.scopes)
        try:
            return tool, self._shop.toolbox.check(tool, call.parameters)
        except ValidationError as error:
            raise _in_parameters(error) from None

    async def start(
        self,
        connection: Connection,
        session_id: str,
        tool: Tool,
        arguments: Mapping[str, Any],
        named: str | None,
    ) -> Called:
        """Makes a call that was checked, or has a person asked first; ``named`` is what its client
        calls it. ``begin`` of what is returned must be called.

        Raises ``ToolBusy``, ``IdempotencyConflict`` or ``Overloaded``.
        """
        call_id = named or new_id("call")
        under_way = {(session_id, call_id), (session_id, _row_id(session_id, call_id))}
        if not under_way.isdisjoint(self._running):
            raise IdempotencyConflict("a call with this callId is running: choose a new one")
        connection.hold()
        try:
            if tool.asks(arguments):
                await self._ask(
                    session_id,
                    Asked(
                        _row_id(session_id, named) if named else call_id,
                        tool.definition.name,
                        arguments,
                        self._shop.clock() + self._shop.approval_ms,
                    ),
                )
            else:
                identity = connection.identity
                caller = Caller(new_id("call"), identity.user_id, session_id, identity.scopes)
                await self._run(call_id, tool, arguments, caller)
        except BaseException:
            connection.release()
            raise
        return Called(call_id, connection.release)

    async def _run(
        self, call_id: str, tool: Tool, arguments: Mapping[str, Any], caller: Caller
    ) -> None:
        """Returns once there is room for the call. Raises ``ToolBusy``."""
        began: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        key = caller.session_id, call_id
        run = partial(self._shop.toolbox.run, began=partial(began.set_result, None))

        async def make() -> None:
            result = await self._outcome(key, partial(run, tool, arguments, caller))
            # Who is told the result may use its id again.
            self._running.pop(key, None)
            self._tell_all(caller.session_id, _done(call_id, tool.definition.name, result))

        task = self._spawn(key, make())
        await asyncio.wait({task, began}, return_when=asyncio.FIRST_COMPLETED)
        if task.cancelled():
            raise Overloaded  # its session ended in the same moment
        if task.done():
            task.result()

    async def _outcome(
        self, key: tuple[str, str], run: Callable[[], Awaitable[ToolResult]]
    ) -> ToolResult:
        """How a call ends, also where it is told to."""
        try:
            return await run()
        except asyncio.CancelledError:
            if (why := self._stopped.pop(key, None)) is None:
                raise
            return _failed(why)
        except TalksyError:
            raise
        except Exception as error:
            told = InternalError(new_id("req"))
            log.exception("call_failed", request_id=told.request_id, error=type(error).__name__)
            return _failed(told)

    def _spawn(self, key: tuple[str, str], work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=f"call {key[1]}")
        self._running[key] = task
        task.add_done_callback(partial(self._over, key))
        return task

    def _over(self, key: tuple[str, str], task: asyncio.Task[None]) -> None:
        if self._running.get(key) is task:
            del self._running[key]
        self._stopped.pop(key, None)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, TalksyError):
            log.error("call_failed", exc_info=error)

    # ---- what a person decides

    async def _ask(self, session_id: str, call: Asked) -> None:
        now = self._shop.clock()
        await self._shop.calls.ask(session_id, call, now)
        call_id = _call_id(call.id)
        self._tell_all(session_id, ToolAsked(call_id, call.tool, call.arguments, call.expires_at))

    async def waiting(self, session_id: str) -> list[ToolAsked]:
        """What a session's clients have called and somebody has yet to decide about."""
        rows = await self._shop.calls.waiting(session_id, self._shop.clock())
        return [_asked(row) for row in rows]

    async def decide(
        self, connection: Connection, session_id: str, call_id: str, decision: Decision
    ) -> Verdict:
        """Decides about a call, of a turn or of a client; the first decision counts. ``begin`` of
        what it returns must be called.

        Raises ``NotFound``, ``ApprovalExpired`` or ``Overloaded``.
        """
        turns = self._turns
        decided = await turns.decide(session_id, call_id, decision) or await turns.decide(
            session_id, _row_id(session_id, call_id), decision
        )
        if decided is None:
            raise NotFound("no call of this id in this session waits for a person, or has waited")
        row = decided.call
        if decided.decision is None:
            if row.turn_id is None and not decided.already:
                self._expired(row)
            raise ApprovalExpired
        connection.hold()
        if not decided.already:
            self._tell_all(session_id, ToolDecided(call_id, decision, row.turn_id))
            if row.turn_id is None:
                self._go_on(connection.identity, row, decision)
        return Verdict(decided.decision, decided.already, connection.release)

    def _go_on(self, identity: Identity, row: CallRow, decision: Decision) -> None:
        if decision == "deny":
            refused = ToolDenied("a person refused this call")
            self._tell_all(row.session_id, _over_by(row, "denied", refused))
            return
        key = row.session_id, row.id
        call = Asked(row.id, row.tool, row.arguments)
        made = partial(
            self._shop.make, call, identity.scopes, session_id=row.session_id, approved=True
        )

        async def make() -> None:
            try:
                result = await self._outcome(key, made)
            except TalksyError as error:
                result = _failed(error)
            self._tell_all(row.session_id, _done(_call_id(row.id), row.tool, result))

        self._spawn(key, make())

    async def _look(self) -> None:
        """Finds what nobody decided about in time, and what dead nodes were about to make or made,
        while there is somebody to be told.
        """
        now = self._shop.clock()
        for row in await self._shop.calls.adrift(now):
            if not self._registry.of(row.session_id) and now - row.created_at < LEFT_MS:
                continue
            status, error = _ADRIFT[row.status]
            if await self._shop.calls.settle(row, status):
                self._tell_all(row.session_id, _over_by(row, status, error))

    def _expired(self, row: CallRow) -> None:
        self._tell_all(row.session_id, _over_by(row, "expired", ApprovalExpired()))

    # ---- the devices

    def _tell(self, session_id: str, told: Told) -> None:
        """Tells the session's devices on this node."""
        for connection in self._registry.of(session_id):
            connection.deliver(partial(connection.outlet.tell, told))

    def _tell_all(self, session_id: str, told: Told) -> None:
        """Tells those on the other nodes as well, as far as a word reaches them."""
        self._tell(session_id, told)
        line = orjson.dumps([type(told).__name__, asdict(told)])
        if len(line) > MOST_TOLD and isinstance(told, ToolAsked):
            # Nobody shall decide unseen: the others read it where it is kept.
            line = orjson.dumps([ASKED, told.call_id])
        if len(line) <= MOST_TOLD:
            self._news.tell("tools", f"{session_id} {line.decode()}")

    def _hear(self, word: str) -> None:
        session_id, _, line = word.partition(" ")
        if not self._registry.of(session_id):
            return
        kind, fields = orjson.loads(line)
        if kind == ASKED:
            self._spawn((session_id, f"show {fields}"), self._show(session_id, fields))
        else:
            self._tell(session_id, KINDS[kind](**fields))

    async def _show(self, session_id: str, call_id: str) -> None:
        """Shows what waits for a person."""
        for asked in await self.waiting(session_id):
            if asked.call_id == call_id:
                self._tell(session_id, asked)

    # ---- the end

    def stop(self, session_id: str, why: TalksyError) -> list[asyncio.Task[None]]:
        """Ends the calls of a session; ``why`` is what their callers are told."""
        return [self._stop(key, why) for key in list(self._running) if key[0] == session_id]

    def _stop(self, key: tuple[str, str], why: TalksyError) -> asyncio.Task[None]:
        task = self._running[key]
        self._stopped.setdefault(key, why)
        task.cancel()
        return task

    async def drain(self, seconds: float) -> None:
        """Gives the calls ``seconds`` to end, then ends them."""
        if self._running:
            await asyncio.wait(self._running.values(), timeout=seconds)
        if tasks := [self._stop(key, ServerDraining()) for key in list(self._running)]:
            await asyncio.wait(tasks)


def _in_parameters(error: ValidationError) -> ValidationError:
    """As a client's payload has it, where the parameters are a field."""
    faults = [
        (f"parameters.{path}" if path else "parameters", message) for path, message in error.faults
    ]
    return ValidationError(
        "; ".join(f"{path}: {message}" for path, message in faults), faults=faults
    )


def _row_id(session_id: str, call_id: str) -> str:
    """The row's id of a call whose client chose its own."""
    return f"{session_id}/{call_id}"


def _call_id(row_id: str) -> str:
    """What its client calls it."""
    return row_id.partition("/")[2] or row_id


def _asked(row: CallRow) -> ToolAsked:
    return ToolAsked(_call_id(row.id), row.tool, row.arguments, row.expires_at)


def _done(call_id: str, name: str, result: ToolResult) -> ToolDone:
    return ToolDone(call_id, name, result.status, result.result, result.error, result.ms)


def _over_by(row: CallRow, status: ToolStatus, error: TalksyError) -> ToolDone:
    return ToolDone(_call_id(row.id), row.tool, status, error=error.payload())


def _failed(error: TalksyError) -> ToolResult:
    return ToolResult("failed", error=error.payload())

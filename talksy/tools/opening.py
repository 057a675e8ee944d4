"""Opens a node's tools: finds them all, and the sandbox for those that need it."""

from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import structlog

from talksy.errors import TalksyError
from talksy.state import Slots
from talksy.tools.apart import SandboxedTool, described_tools
from talksy.tools.builtin import BUILTIN
from talksy.tools.builtin.fetch import opened_fetch
from talksy.tools.builtin.python import python_tool
from talksy.tools.definition import Tool
from talksy.tools.execution import ToolBounds
from talksy.tools.finding import module_tools, plugin_tools
from talksy.tools.sandbox import Sandbox, SandboxBounds, SandboxUnfit
from talksy.tools.toolbox import Toolbox
from talksy.tools.watching import ToolWatcher

log = structlog.get_logger(__name__)


@asynccontextmanager
async def open_toolbox(
    *,
    modules: Sequence[str] = (),
    sandboxed: Sequence[str] = (),
    more: Iterable[Tool] = (),
    fetch: bool = False,
    bounds: ToolBounds | None = None,
    sandbox_bounds: SandboxBounds | None = None,
    slots: Slots | None = None,
    watcher: ToolWatcher | None = None,
) -> AsyncIterator[Toolbox]:
    """The built-in tools with ``more``, those of ``modules``, which are trusted, of other packages,
    and of ``sandboxed``, which are not.

    Raises ``ValueError`` for a module that cannot be used, for two tools of one name, and where
    something needs the sandbox and it cannot hold here.
    """
    bounds = bounds or ToolBounds()
    trusted = list(dict.fromkeys([*module_tools(modules), *plugin_tools()]))
    apart = [tool.function.__module__ for tool in trusted if tool.definition.sandboxed]
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        known = (*BUILTIN, *more)
        toolbox = await enter(Toolbox(known, bounds=bounds, slots=slots, watcher=watcher))
        if fetch:
            toolbox.add(await enter(opened_fetch()))
        needed = dict.fromkeys([*apart, *sandboxed])
        sandbox = await _opened_sandbox(stack, needed, sandbox_bounds)
        for tool in trusted:
            if sandbox is not None and tool.definition.sandboxed:
                toolbox.add(SandboxedTool(sandbox, tool, seconds=bounds.seconds))
            else:
                toolbox.add(tool)
        if sandbox is not None:
            toolbox.add(python_tool(sandbox))
            for module in sandboxed:
                await _add_described(toolbox, sandbox, module, bounds.seconds)
        yield toolbox


async def _opened_sandbox(
    stack: AsyncExitStack, needed: Collection[str], bounds: SandboxBounds | None
) -> Sandbox | None:
    """The sandbox; None where it cannot hold and nobody needs it."""
    try:
        return await stack.enter_async_context(Sandbox(needed, bounds))
    except LookupError as error:
        raise ValueError(str(error)) from error
    except SandboxUnfit as error:
        if needed:
            raise ValueError(
                f"{', '.join(needed)} would run in the sandbox, which cannot hold here: {error}"
            ) from error
        log.warning("sandbox_unfit", reason=error.reason, hint=error.hint, without="run_python")
        return None


async def _add_described(toolbox: Toolbox, sandbox: Sandbox, module: str, seconds: float) -> None:
    try:
        tools = await described_tools(sandbox, module, seconds=seconds)
    except (TalksyError, ValueError) as error:
        raise ValueError(f"the module {module} cannot be used: {error}") from error
    for tool in tools:
        toolbox.add(tool)

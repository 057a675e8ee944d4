"""The tools of a node: who has which names, who may use them, and their calls."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Self

import structlog

from talksy.errors import Forbidden, ToolDenied, ToolNotFound
from talksy.state import Slots
from talksy.tools.definition import Caller, Tool, ToolDefinition, ToolResult
from talksy.tools.execution import Execution, ToolBounds
from talksy.tools.watching import ToolWatcher

log = structlog.get_logger(__name__)


class ToolClash(ValueError):
    """Two tools have one name."""


class Toolbox:
    """The registry of tools, and what runs them."""

    def __init__(
        self,
        tools: Iterable[Tool] = (),
        *,
        bounds: ToolBounds | None = None,
        slots: Slots | None = None,
        watcher: ToolWatcher | None = None,
    ) -> None:
        """``slots`` are shared with other nodes; without them this node counts alone. Raises
        ``ToolClash``.
        """
        self._tools: dict[str, Tool] = {}
        self._execution = Execution(bounds or ToolBounds(), slots, watcher)
        for tool in tools:
            self.add(tool)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._execution.close()

    @property
    def running(self) -> int:
        """How many calls run here, those that nobody waits for any more included."""
        return self._execution.running

    # ---- what there is

    def add(self, tool: Tool) -> None:
        """Takes a tool in. Raises ``ToolClash`` where its name is taken."""
        definition = tool.definition
        if (other := self._tools.get(definition.name)) is not None:
            raise ToolClash(
                f"two tools are called {definition.name}: one of {other.definition.source}, "
                f"one of {definition.source}. Rename one of them."
            )
        self._tools[definition.name] = tool

    def replace(self, source: str, tools: Iterable[Tool]) -> None:
        """Puts ``tools`` in the place of all that ``source`` had.

        One whose name is taken by another source is left out and logged.
        """
        others = {
            name: tool for name, tool in self._tools.items() if tool.definition.source != source
        }
        for tool in tools:
            name = tool.definition.name
            if (other := others.get(name)) is not None:
                holder = other.definition.source
                log.warning("tool_clash", tool=name, source=source, taken_by=holder)
            else:
                others[name] = tool
        self._tools = others

    def sources(self) -> Sequence[str]:
        """Where the tools come from, sorted."""
        return sorted({tool.definition.source for tool in self._tools.values()})

    def all(self) -> Sequence[ToolDefinition]:
        """Every tool, by name."""
        return [self._tools[name].definition for name in sorted(self._tools)]

    def offered(self, scopes: Collection[str]) -> Sequence[ToolDefinition]:
        """What a caller with these scopes may use, by name."""
        return [
            definition
            for definition in self.all()
            if definition.policy != "deny" and definition.scope in scopes
        ]

    def find(self, name: str, scopes: Collection[str]) -> Tool:
        """The tool of that name.

        Raises ``ToolNotFound``, ``ToolDenied``, or ``Forbidden`` with the scope that is missing.
        """
        tool = self._tools.get(name)
        if tool is None:
            offered = [definition.name for definition in self.offered(scopes)]
            near = get_close_matches(name, offered, n=1)
            hint = f": did you mean {near[0]}?" if near else "; list_tools names those there are."
            raise ToolNotFound(f'There is no tool "{name[:64]}"{hint}')
        definition = tool.definition
        if definition.policy == "deny":
            raise ToolDenied(f"{definition.name} may not be used here.")
        if definition.scope not in scopes:
            raise Forbidden(f"{definition.name} needs the scope {definition.scope}.")
        return tool

    # ---- calls

    def check(self, tool: Tool, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """The arguments as they will be used. Raises ``PayloadTooLarge``, ``ValidationError``."""
        self._execution.measure(arguments)
        return tool.check(arguments)

    @property
    def usual_ms(self) -> int:
        """How long a call of a tool may take that does not say itself."""
        return self._execution.usual_ms

    async def run(
        self,
        tool: Tool,
        arguments: Mapping[str, Any],
        caller: Caller,
        *,
        wait: float = 0.0,
        began: Callable[[], None] | None = None,
        ended: Callable[[ToolResult], None] | None = None,
    ) -> ToolResult:
        """Calls a tool with checked arguments, once there is room; waits ``wait`` seconds for it
        and calls ``began`` when it is there, and ``ended`` as soon as it is known how it ended.

        Whatever the tool does is a result: only ``ToolBusy`` is raised. When this returns or is
        cancelled, sandboxed work has really stopped and its room is free. A trusted tool is waited
        for as long as it may take to end, and keeps its room until it has.
        """
        return await self._execution.run(tool, arguments, caller, wait, began, ended)

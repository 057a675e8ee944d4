"""A toolbox with the tools of real servers in it."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from talksy.tools import BASIC, Caller, Toolbox, ToolResult
from talksy.tools.mcp import McpLinks, McpState, open_mcp
from talksy.tools.mcp.link import Patience

HERE = Path(__file__).parent
CALLER = Caller(effect_id="eff_1", user_id="usr_1", session_id="ses_1")
SECONDS = 20.0
QUICK = Patience(connect=SECONDS, answer=1.0, between=0.01, first_retry=0.05, last_retry=0.2)


def office(**more: Any) -> dict[str, Any]:
    return {"command": sys.executable, "args": [str(HERE / "office.py")], **more}


def liar(habit: str, *rest: str, **more: Any) -> dict[str, Any]:
    return {"command": sys.executable, "args": [str(HERE / "liar.py"), habit, *rest], **more}


@dataclass
class Rig:
    toolbox: Toolbox
    links: McpLinks

    def names(self) -> list[str]:
        return [definition.name for definition in self.toolbox.all()]

    def state(self, name: str) -> McpState:
        return next(state for state in self.links.states() if state.name == name)

    async def call(self, name: str, /, **arguments: Any) -> ToolResult:
        tool = self.toolbox.find(name, [BASIC])
        return await self.toolbox.run(tool, self.toolbox.check(tool, arguments), CALLER)

    async def error(self, name: str, /, **arguments: Any) -> tuple[str, str]:
        """The code and the text of a failure."""
        result = await self.call(name, **arguments)
        assert result.error is not None
        return result.error["code"], result.error["message"]


@asynccontextmanager
async def rig(patience: Patience = QUICK, **servers: Mapping[str, Any]) -> AsyncIterator[Rig]:
    """With each server there, or known to be away."""
    async with Toolbox() as toolbox, open_mcp(servers, toolbox, patience=patience) as links:
        await links.settle(SECONDS)
        yield Rig(toolbox, links)


async def until(holds: Callable[[], bool], what: str) -> None:
    """Waits for what no event tells of: another process, or a list."""
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"it did not come to pass: {what}"
        await asyncio.sleep(0.01)

"""The tools: whether those that the settings and other packages name can be had."""

import time
from collections.abc import AsyncGenerator

from talksy.cli.check.findings import Finding, ms_since
from talksy.config import Settings
from talksy.tools.builtin import BUILT_IN
from talksy.tools.opening import open_toolbox


async def tools(settings: Settings) -> AsyncGenerator[Finding]:
    """Where they come from, MCP servers aside."""
    started = time.perf_counter()
    try:
        async with open_toolbox(
            modules=settings.tool_modules, sandboxed=settings.tool_sandboxed_modules
        ) as toolbox:
            others = [name for name in toolbox.sources() if not name.startswith(BUILT_IN)]
    except ValueError as error:
        hint = "check TOOL_MODULES and TOOL_SANDBOXED_MODULES"
        yield Finding("tools", "failed", str(error), hint)
        return
    said = " and ".join(["the built-in ones", *others])
    yield Finding("tools", "ok", said, ms=ms_since(started))

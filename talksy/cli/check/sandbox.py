"""The sandbox: what holds untrusted tools in on this machine."""

import time
from collections.abc import AsyncGenerator

from talksy.cli.check.findings import Finding, State, ms_since
from talksy.config import Settings
from talksy.tools.sandbox import NAMESPACES_HINT, Sandbox, SandboxUnfit


async def sandbox(settings: Settings) -> AsyncGenerator[Finding]:
    """Whether it can be had, and by which layers."""
    modules = settings.tool_sandboxed_modules
    started = time.perf_counter()
    try:
        async with Sandbox(modules) as opened:
            held, missing = ", ".join(opened.layers()), opened.missing
    except LookupError as error:
        yield Finding("sandbox", "failed", str(error), "check TOOL_SANDBOXED_MODULES")
        return
    except SandboxUnfit as error:
        # Where nothing was asked for it, run_python alone is left out.
        state: State = "failed" if modules else "ok"
        yield Finding("sandbox", state, f"it cannot be had: {error.reason}", error.hint or None)
        return
    if missing is None:
        yield Finding("sandbox", "ok", f"held by {held}", ms=ms_since(started))
    else:
        said = f"held by {held}; without namespaces ({missing})"
        yield Finding("sandbox", "ok", said, NAMESPACES_HINT, ms_since(started))

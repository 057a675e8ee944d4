"""Runs code that a model writes, in the sandbox."""

from dataclasses import replace
from typing import Annotated, Any

from pydantic import Field

from talksy.tools.function import FunctionTool, tool
from talksy.tools.sandbox import Sandbox

MAX_CHARS = 100_000
SECONDS = 10


def python_tool(sandbox: Sandbox) -> FunctionTool[..., Any]:
    """``run_python``: each call has a process of its own, that can reach nothing."""

    @tool(category="utility", timeout_ms=SECONDS * 1000, idempotent=True)
    async def run_python(
        code: Annotated[str, Field(min_length=1, max_length=MAX_CHARS)],
    ) -> dict[str, Any]:
        """Runs Python code and tells what it prints and what its last line is worth. It has the
        standard library, no network and no files, and nothing of it is left afterwards.

        Args:
            code: such as "import statistics; statistics.mean([1, 2, 4])"
        """
        ran = await sandbox.python(code, seconds=SECONDS)
        told = {"output": ran.output, "value": ran.value, "error": ran.error}
        return {**told, "cut": True} if ran.cut else told

    definition = replace(run_python.definition, sandboxed=True)
    return FunctionTool(run_python.function, definition, run_python.signature)

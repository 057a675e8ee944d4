"""A module of tools, for the sandbox."""

from talksy.tools import tool


@tool(sandbox=True)
def add(a: int, b: int = 2) -> int:
    """Adds two numbers."""
    return a + b

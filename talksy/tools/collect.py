"""The tools that a module has."""

from types import ModuleType
from typing import Any

from talksy.tools.function import FunctionTool


def tools_of(module: ModuleType) -> list[FunctionTool[..., Any]]:
    """Those that were made in it, in its order; what it only imports is left to its own module."""
    found = [value for value in vars(module).values() if isinstance(value, FunctionTool)]
    own = [tool for tool in found if tool.function.__module__ == module.__name__]
    return list(dict.fromkeys(own))

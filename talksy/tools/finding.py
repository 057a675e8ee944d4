"""Where tools are found: in modules of a setting, and in those that other packages announce."""

from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any

from talksy.tools.collect import tools_of
from talksy.tools.function import FunctionTool

PLUGINS = "talksy.tools"
"""The group of entry points by which another package adds tools: each names a module, or one tool
as ``module:name``."""

Found = FunctionTool[..., Any]


def module_tools(names: Iterable[str]) -> Sequence[Found]:
    """The tools of trusted modules. Raises ``ValueError`` for one that cannot be imported, or has
    none.
    """
    return [tool for name in names for tool in _of(name)]


def plugin_tools() -> Sequence[Found]:
    """The tools of other packages. Raises ``ValueError`` for one that is not what it should be."""
    return [tool for entry in entry_points(group=PLUGINS) for tool in _plugged(entry)]


def _of(name: str) -> Sequence[Found]:
    try:
        module = import_module(name)
    except Exception as error:
        raise ValueError(
            f"the module {name} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    found = tools_of(module)
    if not found:
        raise ValueError(f"the module {name} has no tools: decorate a function with @tool")
    return found


def _plugged(entry: EntryPoint) -> Iterator[Found]:
    package = entry.dist.name if entry.dist else entry.value
    try:
        found = entry.load()
    except Exception as error:
        raise ValueError(
            f'the tools "{entry.name}" of the package {package} do not start: '
            f"{type(error).__name__}: {error}"
        ) from error
    tools = tools_of(found) if isinstance(found, ModuleType) else [found]
    if not tools or not all(isinstance(tool, FunctionTool) for tool in tools):
        raise ValueError(
            f'"{entry.name}" of the package {package} names no tool, nor a module that has some'
        )
    yield from tools

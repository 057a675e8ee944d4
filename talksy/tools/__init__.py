"""Tools: what a model and a client may call."""

from talksy.tools.definition import (
    BASIC,
    Caller,
    Category,
    Policy,
    Tool,
    ToolDefinition,
    ToolResult,
)
from talksy.tools.execution import ToolBounds
from talksy.tools.function import FunctionTool, tool
from talksy.tools.signature import BadTool
from talksy.tools.toolbox import Toolbox, ToolClash
from talksy.tools.watching import ToolWatcher

__all__ = [
    "BASIC",
    "BadTool",
    "Caller",
    "Category",
    "FunctionTool",
    "Policy",
    "Tool",
    "ToolBounds",
    "ToolClash",
    "ToolDefinition",
    "ToolResult",
    "ToolWatcher",
    "Toolbox",
    "tool",
]

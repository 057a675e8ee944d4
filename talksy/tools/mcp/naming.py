"""Names of tools that vendors take, made from those that servers give."""

import re
from hashlib import sha256

MAX_CHARS = 64
_MARK_CHARS = 8
_OTHERS = re.compile(r"[^A-Za-z0-9_-]")


def tool_name(server: str, tool: str) -> str:
    """``server__tool``. Where that cannot be a name it is made one, with a mark of the original.

    The mark depends on nothing but the tool's own name: what a person approved does not become
    another tool when the server's list changes.
    """
    name = f"{server}__{tool}"
    safe = _OTHERS.sub("_", name)
    if tool and safe == name and len(name) <= MAX_CHARS:
        return name
    mark = sha256(tool.encode("utf-8", "surrogatepass")).hexdigest()[:_MARK_CHARS]
    return f"{safe[: MAX_CHARS - _MARK_CHARS - 1]}_{mark}"

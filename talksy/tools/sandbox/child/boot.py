"""Where the zygote begins: a script, so that it may choose what it imports of Talksy.

The whole of ``talksy.tools`` would bring the database along, and a child costs as much as there is
in memory.
"""

import logging
import sys
from pathlib import Path
from types import ModuleType

PACKAGES = ("talksy.tools", "talksy.tools.sandbox")


def boot(descriptor: int, paths: list[str]) -> None:
    """Serves orders from ``descriptor``. Modules are found in ``paths`` until the locks shut."""
    sys.path += paths
    folder = Path(__file__).parents[2]
    for name, path in zip(PACKAGES, (folder, folder / "sandbox"), strict=True):
        package = ModuleType(name)
        package.__path__ = [str(path)]
        sys.modules[name] = package
    # A third of the memory, for lines that nobody would read: in here nothing is logged.
    unused = ModuleType("structlog")
    unused.get_logger = logging.getLogger  # type: ignore[attr-defined]
    sys.modules["structlog"] = unused
    from talksy.tools.sandbox.child.zygote import serve

    serve(descriptor)


if __name__ == "__main__":
    boot(int(sys.argv[1]), sys.argv[2:])

"""Where the code of sandboxed tools is: found without running any of it."""

import importlib.machinery
import importlib.util
from collections.abc import Sequence
from pathlib import Path

from talksy.tools.sandbox.child.work import Home


def home_of(module: str) -> Home:
    """Where ``module`` is, a dotted name or the path of a file or package.

    Raises ``LookupError`` where there is none.
    """
    if "/" in module or module.endswith(".py"):
        return _of_path(Path(module).resolve())
    top, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except ValueError:
        spec = None  # It was never imported by its name.
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        raise LookupError(f"there is no module {top}: give its name, or the path of its file")
    places = spec.submodule_search_locations
    _check_below(module, rest, places)
    folder = None if places is None else str(Path(spec.origin).resolve().parent)
    return Home(module, str(Path(spec.origin).resolve()), folder)


def _of_path(path: Path) -> Home:
    if path.is_dir():
        path /= "__init__.py"
    if path.suffix != ".py" or not path.is_file():
        raise LookupError(f"{path} is no Python file")
    if path.name == "__init__.py":
        return Home(path.parent.name, str(path), str(path.parent))
    return Home(path.stem, str(path), None)


def _check_below(module: str, rest: Sequence[str], places: Sequence[str] | None) -> None:
    for name in rest:
        spec = importlib.machinery.PathFinder.find_spec(name, places) if places else None
        if spec is None:
            raise LookupError(f"there is no module {module}")
        places = spec.submodule_search_locations

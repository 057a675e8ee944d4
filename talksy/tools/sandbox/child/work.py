"""What a locked child does: reads what it is given, does it, and says what came of it."""

import ast
import contextlib
import importlib
import importlib.util
import io
import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from types import ModuleType
from typing import Any, NamedTuple, NoReturn

from pydantic_core import to_jsonable_python

from talksy.errors import TalksyError
from talksy.tools.collect import tools_of
from talksy.tools.sandbox.child.binding import bound
from talksy.tools.sandbox.child.trial import holes

CHANNEL = 3
"""The descriptor by which it hears and answers."""
NONCE = 32
"""Bytes that an answer begins with; what is given begins with the same."""
MESSAGE = 2_000
"""Characters of an error."""
WIDEST = 12
"""Bytes that a character may take in JSON."""
RESERVE = 1 << 20
"""Bytes kept back to tell that there is no more memory."""


class Home(NamedTuple):
    """Where a module is."""

    name: str
    """With dots, as it is imported."""
    file: str
    """Of its topmost package, or its own."""
    folder: str | None
    """Of its topmost package; None where it is a file by itself."""


def answer(deed: str, home: Home | None, most: int) -> NoReturn:
    """Does what it reads from the channel and ends the process."""
    reserve = bytearray(RESERVE)
    given = _read()
    nonce, text = given[:NONCE], given[NONCE:]
    try:
        said = _said(DEEDS[deed](home, json.loads(text), most), most)
    except MemoryError:
        del reserve
        said = _failed("it needs more memory than it may have")
    except TalksyError as error:
        said = _failed(error.message)
    except BaseException as error:  # noqa: BLE001 - also exit() is only the end of the tool
        said = _failed(reason(error))
    _write(nonce + said)
    os._exit(0)


def reason(error: BaseException) -> str:
    """The kind of an error and its text, without the places it went through."""
    try:
        text = str(error)
    except BaseException:  # noqa: BLE001 - it may be a class of the tool's
        text = ""
    kind = type(error).__name__
    return (f"{kind}: {text}" if text else kind)[:MESSAGE]


def _call(home: Home | None, given: Mapping[str, Any], _most: int) -> Any:
    made: dict[tuple[str, str], Callable[..., Any]] = {}

    def note(function: Callable[..., Any]) -> Callable[..., Any]:
        made[function.__module__, function.__name__] = function
        return function

    def tool(function: Callable[..., Any] | None = None, /, **_: Any) -> Any:
        return note if function is None else note(function)

    # To make tools of all that a module has takes longer than to call one.
    vars(sys.modules["talksy.tools"])["tool"] = tool
    module = _load(home)
    function = made.get((module.__name__, given["function"]))
    if function is None:
        raise LookupError(f"{module.__name__} has no tool {given['function']}")
    return function(**bound(function, given["arguments"]))


def _describe(home: Home | None, _given: Mapping[str, Any], _most: int) -> Any:
    return [
        {**asdict(tool.definition), "function": tool.function.__name__}
        for tool in tools_of(_load(home))
    ]


def _python(_home: Home | None, given: Mapping[str, Any], most: int) -> Any:
    """Runs code as a prompt would: what it prints, and what its last line is worth."""
    printed, value, error = Printed(most // WIDEST), None, None
    scope = ModuleType("__main__").__dict__
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            tree = ast.parse(given["code"], "<code>")
            last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
            exec(compile(tree, "<code>", "exec"), scope)  # noqa: S102 - what the sandbox is for
            if isinstance(last, ast.Expr):
                found = eval(compile(ast.Expression(last.value), "<code>", "eval"), scope)  # noqa: S307
                value = None if found is None else printed.shorten(repr(found))
        except MemoryError:
            raise
        except BaseException as raised:  # noqa: BLE001 - what went wrong is the answer
            error = reason(raised) + _line(raised)
    return {"output": printed.getvalue(), "value": value, "error": error, "cut": printed.cut}


def _line(error: BaseException) -> str:
    """The last line of the code that was reached."""
    trace, line = error.__traceback__, None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<code>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return "" if line is None else f" (line {line})"


def _try(_home: Home | None, _given: Mapping[str, Any], _most: int) -> Any:
    return holes()


DEEDS: Mapping[str, Callable[[Home | None, Mapping[str, Any], int], Any]] = {
    "call": _call,
    "describe": _describe,
    "python": _python,
    "try": _try,
}


class Printed(io.StringIO):
    """What was printed, at most ``most`` characters of it."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._left = most
        self.cut = False

    def write(self, text: str) -> int:
        super().write(self.shorten(text))
        return len(text)

    def shorten(self, text: str) -> str:
        """As much of ``text`` as there is room for."""
        self.cut = self.cut or len(text) > self._left
        kept = text[: self._left]
        self._left -= len(kept)
        return kept


def _load(home: Home | None) -> ModuleType:
    if home is None:
        raise LookupError("the module is not known here")
    top = home.name.partition(".")[0]
    places = None if home.folder is None else [home.folder]
    spec = importlib.util.spec_from_file_location(top, home.file, submodule_search_locations=places)
    if spec is None or spec.loader is None:
        raise ImportError(f"{top} is no Python module")
    sys.modules[top] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return importlib.import_module(home.name)


def _said(value: Any, most: int) -> bytes:
    """``value`` as it is sent. Raises ``ValueError`` where JSON cannot carry it."""
    try:
        plain = to_jsonable_python(value, inf_nan_mode="constants")
        said = json.dumps({"value": plain}, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        return _failed(f"it returned what JSON cannot carry: {reason(error)}")
    if len(said) > most:
        return _failed(f"it returned {len(said)} bytes: {most} are allowed")
    return said


def _failed(text: str) -> bytes:
    return json.dumps({"failed": text}).encode()


def _read() -> bytes:
    pieces = []
    while piece := os.read(CHANNEL, 1 << 20):
        pieces.append(piece)
    return b"".join(pieces)


def _write(said: bytes) -> None:
    view = memoryview(said)
    while view:
        view = view[os.write(CHANNEL, view) :]

"""Measures how long a tool lets nothing else go on."""

from collections.abc import Callable, Coroutine, Generator
from time import perf_counter
from types import TracebackType
from typing import Any

HELD_SECONDS = 0.1
"""From here on it is told."""


class Stepwise(Coroutine[Any, Any, Any]):
    """A coroutine whose every step, from one wait to the next, is timed.

    What it leaves to tasks and threads of its own is not.
    """

    __slots__ = ("_inner", "_told")

    def __init__(self, inner: Coroutine[Any, Any, Any], told: Callable[[float], None]) -> None:
        """``told`` is called with the seconds of each step that took too long."""
        self._inner = inner
        self._told = told

    def send(self, value: Any) -> Any:
        began = perf_counter()
        try:
            return self._inner.send(value)
        finally:
            self._look(began)

    def throw(
        self,
        kind: Any,
        value: BaseException | object = None,
        trace: TracebackType | None = None,
    ) -> Any:
        began = perf_counter()
        try:
            if value is None and trace is None:
                return self._inner.throw(kind)
            return self._inner.throw(kind, value, trace)
        finally:
            self._look(began)

    def close(self) -> None:
        self._inner.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._inner.__await__()

    def _look(self, began: float) -> None:
        if (took := perf_counter() - began) >= HELD_SECONDS:
            self._told(took)

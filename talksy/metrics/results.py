"""How something went, as a label: ``ok``, a code of ``talksy.errors`` or ``error``."""

from collections.abc import Iterator
from types import TracebackType

from prometheus_client import Counter

from talksy.errors import TalksyError


def _codes(kind: type[TalksyError]) -> Iterator[str]:
    if hasattr(kind, "code"):
        yield kind.code
    for child in kind.__subclasses__():
        yield from _codes(child)


def code_label(code: object) -> str:
    """One of the codes there are, else ``other``."""
    return str(code) if code in set(_codes(TalksyError)) else "other"


class Results:
    """Counts how blocks end, under what they do."""

    def __init__(self, counter: Counter) -> None:
        """``counter`` has two labels, what was done and how it ended."""
        self._counter = counter
        self._known: dict[tuple[str, str], Counter] = {}

    def add(self, action: str, result: str) -> None:
        """Counts an end."""
        found = self._known.get((action, result))
        if found is None:
            found = self._known[action, result] = self._counter.labels(action, result)
        found.inc()


class Counted:
    """A block whose end is counted."""

    __slots__ = ("_action", "_results")

    def __init__(self, results: Results, action: str) -> None:
        self._results = results
        self._action = action

    def __enter__(self) -> None:
        """Nothing yet."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        failed = error.code if isinstance(error, TalksyError) else "error"
        self._results.add(self._action, "ok" if kind is None else failed)

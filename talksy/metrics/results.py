"""How something went, as a label: ``ok``, a code of ``talksy.errors`` or ``error``."""

from collections.abc import Iterator
from contextlib import contextmanager

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


@contextmanager
def counted(counter: Counter, action: str) -> Iterator[None]:
    """Counts how the block ends, under ``action``."""
    result = "error"
    try:
        yield
        result = "ok"
    except TalksyError as error:
        result = error.code
        raise
    finally:
        counter.labels(action, result).inc()

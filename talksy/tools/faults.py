"""What is wrong with arguments, said so that a model or a client can put it right."""

from collections.abc import Iterable

from talksy.errors import ValidationError

MAX_FAULTS = 20
"""As many are listed; who has more is not reading them."""


def validation_error(faults: Iterable[tuple[str, str]]) -> ValidationError:
    """The error for (path, message) pairs; an empty path is that of the parameters as a whole."""
    shown = [(path, message[:500]) for path, message in faults][:MAX_FAULTS]
    detail = "; ".join(f"{path or 'parameters'}: {message}" for path, message in shown)
    return ValidationError(detail, faults=shown)


def path_of(parts: Iterable[object]) -> str:
    """Where in the arguments, as ``items.3.price``."""
    return ".".join(str(part)[:64] for part in parts)

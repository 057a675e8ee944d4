"""Whether a sliding window let through what it states, as far as a client can tell."""

from collections.abc import Sequence

Moment = tuple[float, float]
"""When something was asked for and when it was answered, in seconds: the server saw it between."""


def miscounted(
    through: Sequence[Moment], refused: Sequence[Moment], stated: int, window: float
) -> str:
    """What is wrong with a window of ``window`` seconds that lets ``stated`` through; empty where
    nothing is, or where it cannot be told because it may have moved on meanwhile.

    It is exact where all was asked for within less than one window.
    """
    for _, answered in through:
        surely = sum(each[0] > answered - window and each[1] <= answered for each in through)
        if surely > stated:
            return f"{surely} were let through, {stated} are stated"
    for asked, answered in refused:
        perhaps = sum(each[1] > asked - window and each[0] < answered for each in through)
        if perhaps < stated:
            return f"only {perhaps} were let through, {stated} are stated"
    return ""

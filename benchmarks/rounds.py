"""Rounds: each visits all that is compared, in an order of its own, since machines have moods."""

import random
import statistics
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

R = TypeVar("R")


@dataclass(frozen=True)
class Figure:
    """What a figure was in each round."""

    values: Sequence[float]

    @property
    def median(self) -> float:
        """What it is taken to be."""
        return statistics.median(self.values)

    def __str__(self) -> str:
        told = short(self.median)
        if len(self.values) > 1:
            told += f" ({short(min(self.values))} to {short(max(self.values))})"
        return told

    def to(self, other: "Figure") -> float:
        """How many times the other it is."""
        return self.median / other.median


async def interleaved(
    visits: Mapping[str, Callable[[], Awaitable[R]]], rounds: int
) -> Mapping[str, Sequence[R]]:
    """What each visit gave in each round. Of several rounds one more, which comes first, warms up
    and is forgotten.
    """
    given: dict[str, list[R]] = {name: [] for name in visits}
    for _ in range(rounds + (rounds > 1)):
        for name in random.sample(list(visits), len(visits)):
            given[name].append(await visits[name]())
    return {name: told[-rounds:] for name, told in given.items()}


def quantile(values: Sequence[float], share: float) -> float:
    """The value that ``share`` of them are not above."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def short(value: float) -> str:
    """A figure as people read it."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"

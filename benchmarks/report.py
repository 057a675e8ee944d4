"""What the benchmarks tell, as Markdown."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from benchmarks.rounds import short

GENEROUS = 3
"""So many times its target a ratio may be before the gate shuts: it is to notice that a path was
lost, such as to the library's own, where one run says twice what another says of the same code."""


@dataclass(frozen=True)
class Check:
    """A figure and what it must not be above."""

    what: str
    value: float
    target: float
    unit: str = "× Node"

    @property
    def met(self) -> bool:
        """Whether the figure is what it should be."""
        return self.value <= self.target

    @property
    def gate(self) -> bool:
        """Whether it is good enough to pass: times and bytes always are, they are the machine's."""
        return "×" not in self.unit or self.value <= self.target * GENEROUS

    def row(self) -> Sequence[str]:
        """For the table of all checks."""
        told = "yes" if self.met else "**no**"
        return self.what, f"{short(self.value)} {self.unit}", f"{self.target:g} {self.unit}", told


@dataclass
class Section:
    """What one scenario tells."""

    title: str
    text: str
    head: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)

    def __str__(self) -> str:
        return "\n\n".join((f"## {self.title}", self.text, table(self.head, self.rows)))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def summary(sections: Iterable[Section]) -> str:
    """The table of all checks."""
    checks = [check for section in sections for check in section.checks]
    return table(["", "measured", "at most", "met"], [check.row() for check in checks])

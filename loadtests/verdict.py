"""What is said at the end, and whether the run is green."""

import csv
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loadtests.thresholds import HTTP, NOTHING, Row, Samples

LATE_MS = 50.0
"""A generator that is later than this measures itself."""


@dataclass
class Verdict:
    """A run, judged. ``troubles`` make it red whatever the rows say."""

    rows: Sequence[Row]
    troubles: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Green."""
        return not self.troubles and bool(self.rows) and all(row.ok for row in self.rows)

    def text(self) -> str:
        """The table, what else there is to say, and the last word."""
        head = ("", "what", "", "measured", "bound", "samples", "")
        lines = [head, *(_cells(row) for row in self.rows)]
        widths = [max(len(line[at]) for line in lines) for at in range(len(head))]
        table = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        ]
        return "\n".join(["", *table, "", *self.told, *self._last_words()])

    def _last_words(self) -> list[str]:
        if self.ok:
            return ["GREEN"]
        # A name that was not measured is said once, however many bounds it has.
        failed = list(dict.fromkeys(_short(row) for row in self.rows if not row.ok))
        whole = not self.troubles or any(row.samples for row in self.rows)
        return ["RED: " + "; ".join([*self.troubles, *(failed if whole else [])])]

    def write(self, prefix: str) -> None:
        """The same for machines: ``prefix_thresholds.csv`` and ``prefix_thresholds.json``."""
        columns = ("type", "name", "statistic", "bound", "unit", "value", "samples", "ok")
        rows = [dict(zip(columns, _fields(row), strict=True)) for row in self.rows]
        with Path(f"{prefix}_thresholds.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(rows)
        said = {"ok": self.ok, "troubles": self.troubles, "told": self.told, "thresholds": rows}
        text = json.dumps(said, indent=2, ensure_ascii=False)
        Path(f"{prefix}_thresholds.json").write_text(text + "\n", encoding="utf-8")


def lag_line(samples: Samples) -> str:
    """A warning where the generator was late itself; empty where it was not."""
    late = samples.get(("SELF", "generator lag"), NOTHING).value("p95")
    if math.isnan(late) or late <= LATE_MS:
        return ""
    return (
        f"the generator itself was {late:.0f} ms late (p95): what it measured is its own limit; "
        "give it more processes (--processes) or machines (--master, --worker)"
    )


def say(verdict: Verdict) -> None:
    """Prints it."""
    print(verdict.text(), file=sys.stdout, flush=True)


def _cells(row: Row) -> tuple[str, ...]:
    threshold = row.threshold
    state = "ok" if row.ok else "FAILED" if row.measured else "FAILED: nothing was measured"
    return (
        threshold.type,
        threshold.name or "all requests",
        threshold.statistic,
        _value(row),
        threshold.said,
        str(row.samples),
        state,
    )


def _short(row: Row) -> str:
    name = row.threshold.name or f"{HTTP} requests"
    if not row.measured:
        return f"{name}: nothing was measured"
    return f"{name} {row.threshold.statistic} {_value(row)}"


def _value(row: Row) -> str:
    if math.isnan(row.value):
        return "-"
    places = 2 if row.threshold.unit == "%" else 0
    return f"{row.value:.{places}f} {row.threshold.unit}".rstrip()


def _fields(row: Row) -> tuple[Any, ...]:
    threshold = row.threshold
    value = None if math.isnan(row.value) else row.value
    parts = (threshold.type, threshold.name, threshold.statistic, threshold.bound, threshold.unit)
    return (*parts, value, row.samples, row.ok)

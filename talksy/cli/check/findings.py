"""What was found, and how it is shown."""

import time
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from rich.console import Console
from rich.markup import escape

from talksy.config import Settings

State = Literal["ok", "risky", "failed"]
COLORS = {"ok": "green", "risky": "yellow", "failed": "red"}


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of one part. ``ms`` is how long it took to answer."""

    part: str
    state: State
    said: str
    hint: str | None = None
    ms: float | None = None


Look = Callable[[Settings], AsyncGenerator[Finding]]
"""Looks at one part, which its ``__name__`` tells."""


def ms_since(started: float) -> float:
    """Milliseconds since a moment of ``perf_counter``."""
    return round((time.perf_counter() - started) * 1000, 1)


def show(findings: Sequence[Finding]) -> None:
    """Prints them for people, with how many there are to look at."""
    console = Console(soft_wrap=True, highlight=False)
    for finding in findings:
        color = COLORS[finding.state]
        took = f" [dim]({finding.ms:g} ms)[/]" if finding.ms is not None else ""
        console.print(
            f"[{color}]{finding.state:6}[/]  {finding.part:8}  {escape(finding.said)}{took}"
        )
        if finding.hint:
            console.print(f"{'':18}[dim]{escape(finding.hint)}[/]")
    states = [finding.state for finding in findings]
    console.print(f"{states.count('failed')} failed, {states.count('risky')} risky")

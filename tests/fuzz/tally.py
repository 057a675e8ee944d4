"""What a round of fuzzing came to."""

import subprocess
from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Tally:
    """``answers`` are statuses and codes; ``closed`` are sockets that were closed as agreed."""

    sent: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    closed: int = 0

    def add(self, other: "Tally") -> None:
        self.sent += other.sent
        self.answers += other.answers
        self.closed += other.closed

    def __str__(self) -> str:
        answers = ", ".join(f"{name} {count:,}" for name, count in self.answers.most_common())
        return f"{self.sent:,} sent, {self.closed:,} closed as agreed: {answers}"


def resident(pid: int) -> float:
    """The memory of a process, in MB."""
    told = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, check=True)
    return int(told.stdout) / 1024

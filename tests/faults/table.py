"""The table that ``make faults`` prints, as Markdown."""

from collections import Counter
from collections.abc import Sequence

from tests.faults.run import Outcome

COLUMNS = (
    "fault",
    "turns",
    "lost",
    "repeated",
    "wrong",
    "endings ≠ 1",
    "ending ≠ history",
    "void, of one reader",
    "by text",
    "longest silence at home / elsewhere, s",
    "recovery, s",
)
HEAD = f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}"


def row_of(outcomes: Sequence[Outcome]) -> str:
    """The runs of one fault: what must be 0 is added up, of the rest the most is shown."""
    verdicts = [outcome.verdict for outcome in outcomes]
    turns = sum((verdict.turns for verdict in verdicts), Counter[str]())
    home, elsewhere = (max(one.silence[at] for one in verdicts) for at in (True, False))
    recoveries = [one.recovery for one in verdicts if one.recovery is not None]
    cells = [
        outcomes[0].row.name,
        ", ".join(f"{count} {reason}" for reason, count in sorted(turns.items())),
        str(sum(one.lost for one in verdicts)),
        str(sum(one.repeated for one in verdicts)),
        str(sum(one.wrong for one in verdicts)),
        str(sum(one.endings for one in verdicts)),
        str(sum(one.unlike for one in verdicts)),
        f"{max(one.void for one in verdicts)}, {max(one.worst_void for one in verdicts)}",
        str(max(one.snapshot for one in verdicts)),
        f"{home:.1f} / {elsewhere:.1f}",
        f"{max(recoveries):.1f}" if recoveries else "-",
    ]
    return f"| {' | '.join(cells)} |"

"""What a fault has cost, read from what everybody was told."""

from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise

from tests.faults.crowd import Kept, Plan, Report
from tests.faults.reader import Told


@dataclass
class Verdict:
    """One row. The first five must be 0 whatever happens."""

    turns: Counter[str] = field(default_factory=Counter)
    """How many ended with which reason."""
    lost: int = 0
    """Tokens of completed turns that the history or a reader lacks, and gaps in numbers."""
    repeated: int = 0
    wrong: int = 0
    endings: int = 0
    """Readers that were told no ending, or two."""
    unlike: int = 0
    """Readers that were told another ending than the history has, and turns it has twice."""
    void: int = 0
    """Tokens that readers had been given and the ending took back."""
    snapshot: int = 0
    """Tokens that came as the ending's text, not one by one."""
    silence: dict[bool, float] = field(default_factory=lambda: {True: 0.0, False: 0.0})
    """The longest between two events of a turn, in seconds: of readers at home and elsewhere."""
    recovery: float | None = None
    """How long after the fault was mended the last reader heard of its turn again."""
    faults: list[str] = field(default_factory=list)
    """Every fault with its turn and number."""
    notes: Counter[str] = field(default_factory=Counter)
    worst_void: int = 0
    """The most that one reader had to take back."""
    cut: set[int] = field(default_factory=set)
    """The numbers of the turns that did not complete."""


def judge(plan: Plan, report: Report, healed: float | None) -> Verdict:
    """Compares what was told with what was to be told, and with the history."""
    verdict = Verdict()
    whole = "".join(plan.token(number) for number in range(plan.tokens))
    for number, kept in enumerate(report.kept):
        told = [one for one in report.told if one.turn == number]
        _judge_turn(verdict, plan, number, kept, told, whole)
    for one in report.told:
        _judge_reader(verdict, one, report.kept[one.turn].turn_id)
        _time(verdict, one, healed)
    return verdict


def _judge_reader(verdict: Verdict, told: Told, turn_id: str) -> None:
    verdict.repeated += told.repeats
    verdict.wrong += told.wrong
    verdict.lost += told.gaps
    verdict.endings += len(told.endings) != 1
    verdict.notes += told.notes
    for fault, count in (
        ("gaps", told.gaps),
        ("repeats", told.repeats),
        ("wrong", told.wrong),
        ("endings instead of 1", len(told.endings) if len(told.endings) != 1 else 0),
        ("without an ending", not told.endings),
    ):
        if count:
            verdict.faults.append(f"{_who(told, turn_id)}: {count} {fault}, last {told.after}")


def _judge_turn(
    verdict: Verdict, plan: Plan, number: int, kept: Kept, told: list[Told], whole: str
) -> None:
    reasons = {str(one.endings[0]["reason"]) for one in told if one.endings}
    reason = "/".join(sorted(reasons)) or "none"
    verdict.turns[reason] += 1
    if reason != "completed":
        verdict.cut.add(number)
    text = "".join(str(answer["content"]) for answer in kept.answers)
    cut = any(answer.get("interrupted") for answer in kept.answers)
    once = kept.questions == 1 and len(kept.answers) <= 1 and len(reasons) <= 1
    # Of an answer that was cut before anything of it was kept the history has nothing.
    if not once or (kept.answers and cut == (reason == "completed")):
        verdict.unlike += 1
        verdict.faults.append(
            f"turn {number} {kept.turn_id}: told {reason}; the history has {kept.questions} "
            f"questions and {len(kept.answers)} answers, interrupted {cut}"
        )
    if reason == "completed" and text != whole:
        verdict.lost += plan.tokens - len(text.split())
        verdict.faults.append(f"turn {number} {kept.turn_id}: history has {len(text)} characters")
    elif not whole.startswith(text):
        verdict.wrong += 1
        verdict.faults.append(f"turn {number} {kept.turn_id}: history has another text")
    for one in told:
        if one.endings:
            _judge_ending(verdict, plan, one, kept, text)


def _judge_ending(verdict: Verdict, plan: Plan, told: Told, kept: Kept, text: str) -> None:
    """An ending without text is that of a reader that has it all, or of a node cut off."""
    ending = told.endings[0]
    given = ending.get("text")
    stored = len(text.split())
    if given is None and ending["reason"] == "completed" and told.tokens != plan.tokens:
        verdict.lost += plan.tokens - told.tokens
        verdict.faults.append(f"{_who(told, kept.turn_id)}: completed with {told.tokens} tokens")
    if given is not None and given != text:
        verdict.unlike += 1
        verdict.faults.append(
            f"{_who(told, kept.turn_id)}: the ending has {len(given.split())} tokens, the history "
            f"{stored}"
        )
    verdict.notes["tried again"] += "nextTurnId" in ending
    verdict.snapshot += max(0, stored - told.tokens)
    verdict.void += (void := max(0, told.tokens - stored))
    verdict.worst_void = max(verdict.worst_void, void)


def _time(verdict: Verdict, told: Told, healed: float | None) -> None:
    times = told.times
    gaps = (later - earlier for earlier, later in pairwise(times))
    longest = max(gaps, default=0.0)
    verdict.silence[told.home] = max(verdict.silence[told.home], longest)
    if healed is None or not times or times[-1] < healed:
        return
    after = next(time for time in times if time >= healed) - healed
    verdict.recovery = max(verdict.recovery or 0.0, after)


def _who(told: Told, turn_id: str) -> str:
    return f"turn {told.turn} {turn_id} {'at home' if told.home else 'elsewhere'}"

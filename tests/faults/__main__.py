"""Breaks a fleet in every way there is a row for, and prints what its clients were told.

python -m tests.faults --only killed --runs 3
"""

import argparse
import asyncio
import json
import signal
import sys
from pathlib import Path

from tests.faults.rows import ROWS
from tests.faults.run import Load, Outcome, run_row
from tests.faults.table import HEAD, row_of
from tests.postgres import running_postgres

SHOWN = 8
"""So many single faults of a row are told."""


async def main() -> int:
    task = asyncio.current_task()
    assert task is not None
    # As by Ctrl-C: what was started is ended.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    usual = Load()
    parser.add_argument("--turns", type=int, default=usual.turns)
    parser.add_argument("--tokens", type=int, default=usual.tokens, help="of each turn")
    parser.add_argument("--rate", type=float, default=usual.rate, help="tokens a second of a turn")
    parser.add_argument("--runs", type=int, default=1, help="of each row")
    parser.add_argument("--only", default="", help="rows whose name has this; several with commas")
    parser.add_argument("--logs", type=Path, help="a folder for the nodes' logs")
    options = parser.parse_args()
    wanted = [name.strip() for name in options.only.split(",")]
    rows = [row for row in ROWS if any(name in row.name for name in wanted)]
    load = Load(options.turns, options.tokens, options.rate)
    bad = 0
    print(f"{load.turns} turns of {load.tokens} tokens at {load.rate:g} a second\n\n{HEAD}")
    with running_postgres() as postgres:
        for row in rows:
            try:
                outcomes = [await run_row(row, load, postgres) for _ in range(options.runs)]
            except AssertionError as error:
                if task.cancelling():
                    raise  # the nodes were told by the same signal, and no row can say anything
                bad += options.runs
                print(f"| {row.name} | could not be run |", flush=True)
                print(f"  {row.name}: {error}", file=sys.stderr, flush=True)
                continue
            print(row_of(outcomes), flush=True)
            for number, outcome in enumerate(outcomes):
                bad += bool(outcome.complaints)
                _explain(outcome)
                if options.logs is not None:
                    _keep(outcome, options.logs, number)
    print(f"\n{bad} of {len(rows) * options.runs} runs were not as they must be.")
    return 1 if bad else 0


def _explain(outcome: Outcome) -> None:
    """Says what was wrong, beside the table."""
    for line in (*outcome.complaints, *outcome.verdict.faults[:SHOWN]):
        print(f"  {outcome.row.name}: {line}", file=sys.stderr, flush=True)
    if outcome.errors:
        print(f"  {outcome.row.name}: errors logged: {dict(outcome.errors)}", file=sys.stderr)


def _keep(outcome: Outcome, folder: Path, number: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    name = outcome.row.name.replace(" ", "_").replace(",", "")
    for place, log in enumerate(outcome.logs.values()):
        path = folder / f"{name}-{number}-{'ABCDEFGH'[place]}.log"
        path.write_text("".join(json.dumps(line) + "\n" for line in log))
    path = folder / f"{name}-{number}.txt"
    notes = f"{dict(outcome.verdict.notes)}"
    path.write_text("\n".join([*outcome.complaints, *outcome.verdict.faults, notes]) + "\n")


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))

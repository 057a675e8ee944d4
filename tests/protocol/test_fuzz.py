"""A little of what ``python -m tests.protocol.fuzz`` does at length."""

from tests.protocol.fuzz import WRONG, compare

SEED = 1
"""The same in each run of the suite: what is new is looked for by hand."""


def test_random_streams_are_read_as_another_parser_reads_them() -> None:
    tally = compare(2_000, SEED)
    assert min(tally[what] for what in ("text", "binary", "ping", "close")) > 100
    assert min(tally[verdict] for verdict in ("in order", "1002", "1007")) > 2 * len(WRONG)

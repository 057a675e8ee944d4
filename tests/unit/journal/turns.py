"""Rows of turns, as the lane would give them."""

from dataclasses import replace
from typing import Any

from talksy.database.rows import TurnRow

TURN = TurnRow(
    id="trn_1",
    session_id="ses_1",
    message_id="msg_1",
    owner="node_a",
    fence=1,
    status="running",
    streamed=True,
    attempt=1,
    text="",
    events=0,
    chunks=0,
    provider=None,
    model=None,
    usage=None,
    error=None,
    degraded=False,
    created_at=1_700_000_000_000,
    ended_at=None,
)


def turn(**changes: Any) -> TurnRow:
    """A turn that runs, but for ``changes``."""
    return replace(TURN, **changes)

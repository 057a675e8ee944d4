"""What users have used: turns and tokens, by day and model."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import BigInteger, Connection, bindparam, func, select
from sqlalchemy.dialects import postgresql, sqlite

from talksy.database.engine import Database, reads
from talksy.database.statements import its
from talksy.database.tables import sessions, usage_days
from talksy.events import Ending

MOST_TOKENS = 10**9
"""A turn counts for no more, whatever its vendor says: sums stay within 64 bits."""


@dataclass(frozen=True, slots=True)
class Used:
    """What one model did on one day (UTC)."""

    day: str
    """Such as ``2026-11-21``."""
    provider: str
    model: str
    turns: int
    input_tokens: int
    output_tokens: int


class Usage:
    """Turns that ran, whatever their ending; the day is that of the ending."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of(self, user_id: str, first_day: str, last_day: str) -> Sequence[Used]:
        """What one user used from ``first_day`` to ``last_day``, oldest first."""
        return await self._sums(first_day, last_day, user_id)

    async def all(self, first_day: str, last_day: str) -> Sequence[Used]:
        """The same of all users together."""
        return await self._sums(first_day, last_day)

    @reads
    def _sums(
        self, connection: Connection, first: str, last: str, user_id: str | None = None
    ) -> Sequence[Used]:
        table = usage_days.c
        key = (table.day, table.provider, table.model)
        query = (
            select(
                *key,
                func.sum(table.turns).cast(BigInteger).label("turns"),
                func.sum(table.input_tokens).cast(BigInteger).label("input_tokens"),
                func.sum(table.output_tokens).cast(BigInteger).label("output_tokens"),
            )
            .where(table.day.between(first, last))
            .group_by(*key)
            .order_by(*key)
        )
        if user_id is not None:
            query = query.where(table.user_id == user_id)
        return [Used(**row._mapping) for row in connection.execute(query)]


def add_usage(connection: Connection, session_id: str, ending: Ending) -> None:
    """Counts a turn of this session, unless it ended before a model was asked."""
    if ending.provider is None and ending.usage is None:
        return
    used = ending.usage
    connection.execute(
        _ADD[connection.dialect.name],
        {
            "session": session_id,
            "its_day": day(ending.ended_at),
            "its_provider": ending.provider or "",
            "its_model": ending.model or "",
            "its_turns": 1,
            "its_input_tokens": _bounded(used.input_tokens if used else 0),
            "its_output_tokens": _bounded(used.output_tokens if used else 0),
        },
    )


def _adding(add: sqlite.Insert | postgresql.Insert) -> sqlite.Insert | postgresql.Insert:
    told = [its(column) for column in usage_days.c if column is not usage_days.c.user_id]
    # What follows is the conflict's: SQLite would read it as a join's without a condition.
    row = select(sessions.c.user_id, *told).where(sessions.c.id == bindparam("session"))
    counts = ("turns", "input_tokens", "output_tokens")
    return add.from_select(list(usage_days.c), row).on_conflict_do_update(
        index_elements=list(usage_days.primary_key),
        set_={name: usage_days.c[name] + add.excluded[name] for name in counts},
    )


_ADD = {
    "sqlite": _adding(sqlite.insert(usage_days)),
    "postgresql": _adding(postgresql.insert(usage_days)),
}


def day(at: int) -> str:
    """The day (UTC) of a time in milliseconds since the epoch."""
    return datetime.fromtimestamp(at / 1000, UTC).date().isoformat()


def _bounded(tokens: int) -> int:
    return max(0, min(tokens, MOST_TOKENS))

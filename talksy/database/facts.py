"""What users let the assistant remember: facts, with where and when each was said."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select

from talksy.database.engine import Database, reads, writes
from talksy.database.tables import facts
from talksy.errors import ValidationError
from talksy.ids import new_id

MOST_FACTS = 1_000
"""So many of a user are kept; the oldest go first."""
MOST_CHARS = 2_000


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that was remembered."""

    id: str
    content: str
    source: str
    """The session in which it was said."""
    created_at: int
    """Milliseconds since the epoch."""


class Facts:
    """The facts of all users, guests included."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @writes
    def remember(
        self, connection: Connection, user_id: str, content: str, source: str, now: int
    ) -> str:
        """Keeps a fact and returns its id. Raises ``ValidationError`` for one that is too long."""
        if len(content) > MOST_CHARS:
            fault = f"may have at most {MOST_CHARS} characters"
            raise ValidationError(f"content {fault}", faults=[("content", fault)])
        fact_id = new_id("fct")
        connection.execute(
            insert(facts).values(
                id=fact_id, user_id=user_id, content=content, source=source, created_at=now
            )
        )
        its = facts.c.user_id == user_id
        newest_first = (facts.c.created_at.desc(), facts.c.id)
        oldest = select(facts.c.id).where(its).order_by(*newest_first).offset(MOST_FACTS)
        connection.execute(delete(facts).where(its, facts.c.id.in_(oldest)))
        return fact_id

    @reads
    def recall(
        self, connection: Connection, user_id: str, query: str | None = None, limit: int = 20
    ) -> Sequence[Fact]:
        """A user's facts, newest first: those with every word of ``query``, whatever the case."""
        # Compared here: SQLite folds the case of ASCII alone.
        words = (query or "").casefold().split()
        rows = connection.execute(
            select(facts.c.id, facts.c.content, facts.c.source, facts.c.created_at)
            .where(facts.c.user_id == user_id)
            .order_by(facts.c.created_at.desc(), facts.c.id)
        )
        found = []
        for row in rows:
            text = row.content.casefold()
            if all(word in text for word in words):
                found.append(Fact(**row._mapping))
            if len(found) == limit:
                break
        return found

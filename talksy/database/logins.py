"""Where accounts were logged in to, as digests from which neither can be read."""

from collections.abc import Collection

from sqlalchemy import Connection, delete, exists, select
from sqlalchemy.dialects import postgresql, sqlite

from talksy.database.engine import Database, reads, writes
from talksy.database.tables import known_logins


class Logins:
    """Digests of an account and an address together, until nobody came by them for long."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @reads
    def known(self, connection: Connection, digests: Collection[str]) -> bool:
        """Whether one of them was added."""
        found = connection.execute(select(exists().where(known_logins.c.digest.in_(digests))))
        return bool(found.scalar_one())

    @writes
    def add(self, connection: Connection, digest: str, now: int) -> None:
        """Adds it, or says that it was seen again."""
        kind = sqlite if connection.dialect.name == "sqlite" else postgresql
        seen = kind.insert(known_logins).values(digest=digest, seen_at=now)
        connection.execute(
            seen.on_conflict_do_update(
                index_elements=[known_logins.c.digest], set_={"seen_at": now}
            )
        )

    @writes
    def sweep(self, connection: Connection, before: int) -> None:
        """Forgets those that nobody came by since ``before``."""
        connection.execute(delete(known_logins).where(known_logins.c.seen_at < before))

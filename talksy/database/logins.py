"""Where accounts were logged in to, as digests from which neither can be read."""

from collections.abc import Collection

from sqlalchemy import delete, exists, select
from sqlalchemy.dialects import postgresql, sqlite

from talksy.database.engine import Database
from talksy.database.tables import known_logins


class Logins:
    """Digests of an account and an address together, until nobody came by them for long."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def known(self, digests: Collection[str]) -> bool:
        """Whether one of them was added."""
        async with self._database.read() as connection:
            found = await connection.execute(
                select(exists().where(known_logins.c.digest.in_(digests)))
            )
            return bool(found.scalar_one())

    async def add(self, digest: str, now: int) -> None:
        """Adds it, or says that it was seen again."""
        async with self._database.write() as connection:
            kind = sqlite if connection.dialect.name == "sqlite" else postgresql
            seen = kind.insert(known_logins).values(digest=digest, seen_at=now)
            await connection.execute(
                seen.on_conflict_do_update(
                    index_elements=[known_logins.c.digest], set_={"seen_at": now}
                )
            )

    async def sweep(self, before: int) -> None:
        """Forgets those that nobody came by since ``before``."""
        async with self._database.write() as connection:
            await connection.execute(delete(known_logins).where(known_logins.c.seen_at < before))

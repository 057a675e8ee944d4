"""How users like to be heard and spoken to: voice profiles of their own, by name."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from talksy.database.engine import Database, alone, reads, writes
from talksy.database.tables import voice_profiles
from talksy.errors import ValidationError

MOST_PROFILES = 50
"""So many a user may have."""

Json = Mapping[str, Any]


class Profiles:
    """The profiles of all users, as JSON has them; what is in one is not looked at here."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @reads
    def all(self, connection: Connection, user_id: str) -> Mapping[str, Json]:
        """A user's, by name, in its order."""
        rows = connection.execute(
            select(voice_profiles.c.name, voice_profiles.c.data)
            .where(voice_profiles.c.user_id == user_id)
            .order_by(voice_profiles.c.name)
        )
        return {row.name: row.data for row in rows}

    @reads
    def find(self, connection: Connection, user_id: str, name: str) -> Json | None:
        """One of a user's; None where there is none."""
        query = select(voice_profiles.c.data).where(*_its(user_id, name))
        found: Json | None = connection.execute(query).scalar_one_or_none()
        return found

    @writes
    def keep(self, connection: Connection, user_id: str, name: str, data: Json, now: int) -> bool:
        """Keeps a profile, in place of one of the same name; returns whether it is a new one.

        Raises ``ValidationError`` where a new one would be too many.
        """
        alone(connection, f"profiles:{user_id}")
        names = select(voice_profiles.c.name).where(voice_profiles.c.user_id == user_id)
        known = set(connection.execute(names).scalars())
        if name not in known and len(known) >= MOST_PROFILES:
            raise ValidationError(
                f"{MOST_PROFILES} profiles are all that a user may have: delete one first"
            )
        values = {"data": data, "updated_at": now}
        kind = sqlite if connection.dialect.name == "sqlite" else postgresql
        kept = kind.insert(voice_profiles).values(user_id=user_id, name=name, **values)
        connection.execute(
            kept.on_conflict_do_update(index_elements=["user_id", "name"], set_=values)
        )
        return name not in known

    @writes
    def drop(self, connection: Connection, user_id: str, name: str) -> bool:
        """Forgets a profile; returns whether there was one."""
        gone = connection.execute(delete(voice_profiles).where(*_its(user_id, name)))
        return gone.rowcount > 0


def _its(user_id: str, name: str) -> tuple[Any, ...]:
    return voice_profiles.c.user_id == user_id, voice_profiles.c.name == name

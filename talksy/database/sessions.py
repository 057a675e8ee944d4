"""Sessions: whose they are, how long they live, how long they lasted."""

from collections.abc import Iterable

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from talksy.database.engine import Database, again, alone
from talksy.database.rows import SessionRow
from talksy.database.tables import messages, sessions
from talksy.errors import SessionLimit


class SessionRows:
    """The table of sessions. A session is open until ``ended_at`` is set."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, row: SessionRow, *, most: int) -> None:
        """Keeps a new session. Raises ``SessionLimit`` where its user has ``most`` open ones."""
        async with self._database.write() as connection:
            await _check_room(connection, row.user_id, row.created_at, most)
            await connection.execute(
                sessions.insert().values(
                    id=row.id,
                    user_id=row.user_id,
                    created_at=row.created_at,
                    opened_at=row.opened_at,
                    last_active_at=row.last_active_at,
                    expires_at=row.expires_at,
                )
            )

    async def find(self, session_id: str) -> SessionRow | None:
        """The session, or None."""
        async with self._database.read() as connection:
            row = (
                await connection.execute(select(sessions).where(sessions.c.id == session_id))
            ).one_or_none()
        return SessionRow(**row._mapping) if row else None

    async def count(self, now: int, user_id: str | None = None) -> int:
        """How many are open at ``now``, of one user or of all."""
        async with self._database.read() as connection:
            return await _count(connection, now, user_id)

    async def empty(self, now: int, user_id: str) -> list[str]:
        """The open sessions of a user in which nothing was said, oldest first."""
        said = select(messages.c.session_id).where(messages.c.session_id == sessions.c.id)
        query = (
            select(sessions.c.id)
            .where(
                sessions.c.ended_at.is_(None),
                sessions.c.expires_at > now,
                sessions.c.user_id == user_id,
                ~said.exists(),
            )
            .order_by(sessions.c.last_active_at)
        )
        async with self._database.read() as connection:
            return [row.id for row in await connection.execute(query)]

    @again
    async def touch(self, rows: Iterable[tuple[str, int, int]]) -> None:
        """Stores ``(id, last_active_at, expires_at)`` of open sessions."""
        # In an order that all keep to, so that two cannot wait for each other.
        values = sorted(rows)
        if not values:
            return
        async with self._database.write() as connection:
            for session_id, last_active_at, expires_at in values:
                await connection.execute(
                    update(sessions)
                    .where(sessions.c.id == session_id, sessions.c.ended_at.is_(None))
                    .values(last_active_at=last_active_at, expires_at=expires_at)
                )

    async def end(self, session_id: str, now: int) -> SessionRow | None:
        """Ends the session at ``now`` and adds what it lasted; an ended one stays as it is.

        Returns it, or None where there is none.
        """
        async with self._database.write() as connection:
            row = (
                await connection.execute(
                    update(sessions)
                    .where(sessions.c.id == session_id, sessions.c.ended_at.is_(None))
                    .values(
                        ended_at=now,
                        duration_seconds=sessions.c.duration_seconds
                        + (now - sessions.c.opened_at) // 1000,
                    )
                    .returning(sessions)
                )
            ).one_or_none()
        return SessionRow(**row._mapping) if row else await self.find(session_id)

    async def expire(self, session_id: str, now: int) -> bool:
        """Ends the session as of the moment at which its time ran out, if that is before ``now``.

        Returns whether it did.
        """
        lasted = (sessions.c.expires_at - sessions.c.opened_at) // 1000
        async with self._database.write() as connection:
            changed = await connection.execute(
                update(sessions)
                .where(
                    sessions.c.id == session_id,
                    sessions.c.ended_at.is_(None),
                    sessions.c.expires_at <= now,
                )
                .values(
                    ended_at=sessions.c.expires_at,
                    duration_seconds=sessions.c.duration_seconds + lasted,
                )
            )
        return bool(changed.rowcount)

    async def reopen(
        self, session_id: str, user_id: str, now: int, expires_at: int, *, most: int
    ) -> SessionRow | None:
        """Opens an ended session of a user again; None where there is none.

        Raises ``SessionLimit`` as ``add`` does.
        """
        async with self._database.write() as connection:
            await _check_room(connection, user_id, now, most)
            row = (
                await connection.execute(
                    update(sessions)
                    .where(sessions.c.id == session_id, sessions.c.user_id == user_id)
                    .values(ended_at=None, opened_at=now, last_active_at=now, expires_at=expires_at)
                    .returning(sessions)
                )
            ).one_or_none()
        return SessionRow(**row._mapping) if row else None

    async def expired(self, now: int) -> list[str]:
        """Open sessions whose time has run out at ``now``."""
        async with self._database.read() as connection:
            rows = await connection.execute(
                select(sessions.c.id).where(
                    sessions.c.ended_at.is_(None), sessions.c.expires_at <= now
                )
            )
            return [row.id for row in rows]

    async def orphan(self, expires_at: int) -> None:
        """Gives every open session until ``expires_at`` at most: the node that held it is gone."""
        async with self._database.write() as connection:
            await connection.execute(
                update(sessions)
                .where(sessions.c.ended_at.is_(None), sessions.c.expires_at > expires_at)
                .values(expires_at=expires_at)
            )


async def _count(connection: AsyncConnection, now: int, user_id: str | None) -> int:
    query = select(func.count()).where(sessions.c.ended_at.is_(None), sessions.c.expires_at > now)
    if user_id is not None:
        query = query.where(sessions.c.user_id == user_id)
    return int((await connection.execute(query)).scalar_one())


async def _check_room(connection: AsyncConnection, user_id: str, now: int, most: int) -> None:
    await alone(connection, user_id)
    if await _count(connection, now, user_id) >= most:
        raise SessionLimit

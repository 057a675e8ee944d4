"""What was said: read in the order of the conversation, a message before its answer."""

from sqlalchemy import ColumnElement, case, func, select, tuple_

from talksy.database.engine import Database
from talksy.database.rows import message
from talksy.database.tables import messages
from talksy.messages import Message

_RANK: ColumnElement[int] = case((messages.c.role == "user", 0), else_=1)
_ORDER = (messages.c.position, _RANK, messages.c.created_at, messages.c.id)


class History:
    """The messages of sessions. Those that wait for their turn are not in it yet."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(
        self, session_id: str, limit: int, before: str | None = None
    ) -> list[Message] | None:
        """The newest ``limit`` messages, oldest first; those before ``before`` where given.

        Returns None where there is no message ``before``.
        """
        query = (
            select(messages)
            .where(messages.c.session_id == session_id, messages.c.state == "shown")
            .order_by(*(column.desc() for column in _ORDER))
            .limit(limit)
        )
        async with self._database.read() as connection:
            if before is not None:
                place = (
                    await connection.execute(
                        select(*_ORDER).where(
                            messages.c.session_id == session_id,
                            messages.c.id == before,
                            messages.c.state == "shown",
                        )
                    )
                ).one_or_none()
                if place is None:
                    return None
                query = query.where(tuple_(*_ORDER) < tuple_(*place))
            rows = (await connection.execute(query)).all()
        return [message(row) for row in reversed(rows)]

    async def context(self, session_id: str, message_id: str, limit: int) -> list[Message]:
        """What a model is given to answer ``message_id``: that message last, and at most
        ``limit`` in all. Earlier answers to the same message are left out.
        """
        position = (
            select(messages.c.position)
            .where(messages.c.session_id == session_id, messages.c.id == message_id)
            .scalar_subquery()
        )
        query = (
            select(messages)
            .where(
                messages.c.session_id == session_id,
                messages.c.state == "shown",
                messages.c.position <= position,
                messages.c.reply_to.is_distinct_from(message_id),
            )
            .order_by(*(column.desc() for column in _ORDER))
            .limit(limit)
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        return [message(row) for row in reversed(rows)]

    async def find(self, session_id: str, message_id: str) -> Message | None:
        """One message, or None."""
        async with self._database.read() as connection:
            row = (
                await connection.execute(
                    select(messages).where(
                        messages.c.session_id == session_id, messages.c.id == message_id
                    )
                )
            ).one_or_none()
        return message(row) if row else None

    async def count(self, session_id: str) -> int:
        """How many messages history holds."""
        async with self._database.read() as connection:
            return int(
                (
                    await connection.execute(
                        select(func.count()).where(
                            messages.c.session_id == session_id, messages.c.state == "shown"
                        )
                    )
                ).scalar_one()
            )

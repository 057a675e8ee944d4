"""What was said: read in the order of the conversation, a message before its answer."""

from sqlalchemy import ColumnElement, Select, and_, case, func, or_, select, tuple_

from talksy.database.engine import Database
from talksy.database.rows import message
from talksy.database.tables import messages, turns
from talksy.messages import Message

PAGE_CHARS = 1_000_000
"""A page ends with the message that passes this length: clients bound what they receive at once."""

_RANK: ColumnElement[int] = case((messages.c.role == "user", 0), else_=1)
# The id tells apart what was said in the same millisecond.
_ORDER = (messages.c.position, _RANK, messages.c.created_at, messages.c.id)
_NEWEST_FIRST = tuple(column.desc() for column in _ORDER)


def _shown(session_id: str) -> ColumnElement[bool]:
    """What has had a turn. A message that is tried again stays while it waits for the next."""
    tried = select(turns.c.message_id).where(turns.c.session_id == session_id)
    return and_(
        messages.c.session_id == session_id,
        or_(messages.c.state == "shown", messages.c.id.in_(tried)),
    )


def _newest(limit: int, chars: int, *where: ColumnElement[bool]) -> Select[tuple[object, ...]]:
    """The newest messages, newest first: ``limit`` of them, or as many as begin in ``chars``."""
    newer = func.sum(func.length(messages.c.content)).over(order_by=_NEWEST_FIRST, rows=(None, -1))
    number = func.row_number().over(order_by=_NEWEST_FIRST)
    page = (
        select(messages, newer.label("newer"), number.label("number"))
        .where(*where)
        .order_by(*_NEWEST_FIRST)
        .limit(limit)
        .subquery()
    )
    return select(page).where(func.coalesce(page.c.newer, 0) < chars).order_by(page.c.number)


class History:
    """The messages of sessions. Those that wait for their turn are not in it yet."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(
        self, session_id: str, limit: int, before: str | None = None
    ) -> list[Message] | None:
        """The newest ``limit`` messages, oldest first; those before ``before`` where given.

        A page of long messages is shorter: see ``PAGE_CHARS``.
        Returns None where there is no message ``before``.
        """
        where = [_shown(session_id)]
        async with self._database.read() as connection:
            if before is not None:
                place = (
                    await connection.execute(select(*_ORDER).where(*where, messages.c.id == before))
                ).one_or_none()
                if place is None:
                    return None
                where.append(tuple_(*_ORDER) < tuple_(*place))
            rows = (await connection.execute(_newest(limit, PAGE_CHARS, *where))).all()
        return [message(row) for row in reversed(rows)]

    async def context(
        self, session_id: str, message_id: str, limit: int, chars: int = PAGE_CHARS
    ) -> list[Message]:
        """What a model is given to answer ``message_id``: that message last, and at most
        ``limit`` messages, or as many as begin in ``chars``. Earlier answers to the same message
        are left out.
        """
        position = (
            select(messages.c.position)
            .where(messages.c.session_id == session_id, messages.c.id == message_id)
            .scalar_subquery()
        )
        query = _newest(
            limit,
            chars,
            _shown(session_id),
            messages.c.position <= position,
            messages.c.reply_to.is_distinct_from(message_id),
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
                    await connection.execute(select(func.count()).where(_shown(session_id)))
                ).scalar_one()
            )

"""What was said: read in the order of the conversation, a message before its answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Select,
    String,
    and_,
    bindparam,
    case,
    func,
    or_,
    select,
    tuple_,
)

from talksy.database.engine import Database, reads
from talksy.database.parking import waiting
from talksy.database.rows import TurnRow, message, turn_row
from talksy.database.statements import LANE, MESSAGE, RUNNING, WAITING
from talksy.database.tables import messages, turns
from talksy.messages import Message

PAGE_CHARS = 1_000_000
"""A page ends with the message that passes this length: clients bound what they receive at once."""

_RANK: ColumnElement[int] = case((messages.c.role == "user", 0), else_=1)
# The id tells apart what was said in the same millisecond.
_ORDER = (messages.c.position, _RANK, messages.c.created_at, messages.c.id)
_NEWEST_FIRST = tuple(column.desc() for column in _ORDER)
# As a ``Message`` has them.
_TOLD = [
    messages.c[name] for name in ("id", "role", "content", "created_at", "turn_id", "interrupted")
]

_session = bindparam("session", type_=String)
# What has had a turn. A message that is tried again stays while it waits for the next.
_SHOWN = and_(
    messages.c.session_id == _session,
    or_(
        messages.c.state == "shown",
        select(turns.c.id)
        .where(turns.c.session_id == _session, turns.c.message_id == messages.c.id)
        .exists(),
    ),
)


def _newest(*where: ColumnElement[bool]) -> Select[tuple[Any, ...]]:
    """The newest messages, newest first: ``limit`` of them, or as many as begin in ``chars``."""
    # These first, by the index: what is counted over a window is read to its end.
    newest = (
        select(*_TOLD, messages.c.position, _RANK.label("rank"))
        .where(*where)
        .order_by(*_NEWEST_FIRST)
        .limit(bindparam("limit", type_=Integer))
        .subquery()
    )
    order = [newest.c[name].desc() for name in ("position", "rank", "created_at", "id")]
    newer = func.sum(func.length(newest.c.content)).over(order_by=order, rows=(None, -1))
    number = func.row_number().over(order_by=order)
    told = [newest.c[column.name] for column in _TOLD]
    page = select(*told, newer.label("newer"), number.label("number")).subquery()
    return (
        select(page)
        .where(func.coalesce(page.c.newer, 0) < bindparam("chars", type_=Integer))
        .order_by(page.c.number)
    )


_message = bindparam("message", type_=String)
_PAGE = _newest(_SHOWN)
_CONTEXT = _newest(
    _SHOWN,
    messages.c.position
    <= select(messages.c.position)
    .where(messages.c.session_id == _session, messages.c.id == _message)
    .scalar_subquery(),
    messages.c.reply_to.is_distinct_from(_message),
)
_COUNT = select(func.count()).where(_SHOWN)


@dataclass(frozen=True, slots=True)
class Scene:
    """What somebody finds who comes back to a session, as of one moment."""

    turns: int
    """How many have begun."""
    running: TurnRow | None
    """The turn that has not ended, whoever writes it."""
    pending: Sequence[str]
    """Its calls that wait for a person."""
    waiting: Sequence[str]
    """The turns that wait, first first."""
    messages: Sequence[Message]
    """The newest, oldest first."""


class History:
    """The messages of sessions. Those that wait for their turn are not in it yet."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @reads
    def read(
        self, connection: Connection, session_id: str, limit: int, before: str | None = None
    ) -> list[Message] | None:
        """The newest ``limit`` messages, oldest first; those before ``before`` where given.

        A page of long messages is shorter: see ``PAGE_CHARS``.
        Returns None where there is no message ``before``.
        """
        if before is None:
            return _page(connection, session_id, limit)
        place = connection.execute(
            select(*_ORDER).where(_SHOWN, messages.c.id == before), {"session": session_id}
        ).one_or_none()
        if place is None:
            return None
        page = _newest(_SHOWN, tuple_(*_ORDER) < tuple_(*place))
        return _said(connection, page, session=session_id, limit=limit, chars=PAGE_CHARS)

    @reads
    def context(
        self,
        connection: Connection,
        session_id: str,
        message_id: str,
        limit: int,
        chars: int = PAGE_CHARS,
    ) -> list[Message]:
        """What a model is given to answer ``message_id``: that message last, and at most
        ``limit`` messages, or as many as begin in ``chars``. Earlier answers to the same message
        are left out.
        """
        return context(connection, session_id, message_id, limit, chars)

    @reads
    def scene(self, connection: Connection, session_id: str, limit: int) -> Scene:
        """How things stand in a session; of its messages as many as ``read`` gives."""
        asked = {"session": session_id}
        stands = connection.execute(LANE, asked).one()
        running = turn_row(connection.execute(RUNNING, asked).one()) if stands.running else None
        parked = running is not None and running.status == "parked"
        return Scene(
            turns=stands.begun,
            running=running,
            pending=waiting(connection, stands.running) if parked else (),
            waiting=connection.execute(WAITING, asked).scalars().all() if stands.waiting else (),
            # Nothing is shown that had no turn.
            messages=_page(connection, session_id, limit) if stands.begun else (),
        )

    @reads
    def find(self, connection: Connection, session_id: str, message_id: str) -> Message | None:
        """One message, or None."""
        asked = {"session": session_id, "message": message_id}
        row = connection.execute(MESSAGE, asked).one_or_none()
        return message(row) if row else None

    @reads
    def count(self, connection: Connection, session_id: str) -> int:
        """How many messages history holds."""
        return int(connection.execute(_COUNT, {"session": session_id}).scalar_one())


def context(
    connection: Connection, session_id: str, message_id: str, limit: int, chars: int
) -> list[Message]:
    """As ``History.context``, within a transaction."""
    return _said(
        connection, _CONTEXT, session=session_id, message=message_id, limit=limit, chars=chars
    )


def _page(connection: Connection, session_id: str, limit: int) -> list[Message]:
    return _said(connection, _PAGE, session=session_id, limit=limit, chars=PAGE_CHARS)


def _said(
    connection: Connection, query: Select[tuple[Any, ...]], **asked: str | int
) -> list[Message]:
    rows = connection.execute(query, asked).all()
    return [Message(*row[: len(_TOLD)]) for row in reversed(rows)]

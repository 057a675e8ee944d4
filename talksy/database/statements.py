"""What is carried out for every message, built once: to build a statement takes several times as
long as to run it. Parameters that are a column's value are named ``its_…``.
"""

from typing import Any

from sqlalchemy import Column, String, bindparam, func, literal_column, select, update
from sqlalchemy.sql.elements import BindParameter

from talksy.database.tables import messages, turns


def its(column: Column[Any]) -> BindParameter[Any]:
    """The parameter for a column's value."""
    return bindparam(f"its_{column.name}", type_=column.type)


_session = bindparam("session", type_=String)
_message = bindparam("message", type_=String)
_of_session = messages.c.session_id == _session
# As literals: with parameters the partial indexes are of no use, and all there has been is read.
_queued = messages.c.state == literal_column("'queued'")
_unfinished = turns.c.status.in_([literal_column("'running'"), literal_column("'parked'")])
_running = (turns.c.session_id == _session, _unfinished)

MESSAGE = select(messages).where(_of_session, messages.c.id == _message)
"""A message, by ``session`` and ``message``."""

LAST = select(func.max(turns.c.ordinal)).where(turns.c.session_id == _session)
"""How many turns have begun in a ``session``; None for none."""

LANE = select(
    select(turns.c.id).where(*_running).scalar_subquery().label("running"),
    select(func.count()).where(_of_session, _queued).scalar_subquery().label("waiting"),
    select(func.coalesce(func.max(messages.c.position), -1))
    .where(_of_session)
    .scalar_subquery()
    .label("last"),
    func.coalesce(LAST.scalar_subquery(), 0).label("begun"),
)
"""How things stand in a ``session``: the turn that has not ended, how many wait,
the last position and how many turns have begun.
"""

FIRST = select(messages).where(_of_session, _queued).order_by(messages.c.position).limit(1)
"""The first message that waits in a ``session``."""

RUNNING = select(turns).where(*_running)
"""The turn that has not ended in a ``session``."""

WAITING = select(messages.c.turn_id).where(_of_session, _queued).order_by(messages.c.position)
"""The turns that wait in a ``session``, first first."""

ADD_MESSAGE = messages.insert()

SHOW = update(messages).where(_of_session, messages.c.id == _message).values(state="shown")

ADD_TURN = (
    turns.insert()
    .values(
        id=its(turns.c.id),
        session_id=_session,
        message_id=_message,
        owner=its(turns.c.owner),
        status=its(turns.c.status),
        streamed=its(turns.c.streamed),
        attempt=select(func.count())
        .where(turns.c.session_id == _session, turns.c.message_id == _message)
        .scalar_subquery()
        + 1,
        ordinal=func.coalesce(LAST.scalar_subquery(), 0) + 1,
        model=its(turns.c.model),
        scope=its(turns.c.scope),
        created_at=its(turns.c.created_at),
        ended_at=its(turns.c.ended_at),
    )
    .returning(turns)
)

_unended = (
    turns.c.id == its(turns.c.id),
    turns.c.fence == its(turns.c.fence),
    turns.c.status == "running",
)

END_TURN = (
    update(turns)
    .where(*_unended)
    .values(
        {
            name: its(turns.c[name])
            for name in (
                *("status", "text", "events", "chunks", "provider", "model", "usage", "error"),
                *("degraded", "next_turn_id", "ended_at"),
            )
        }
    )
)
"""Gives a turn its ending, unless it has one or changed hands."""

CHECKPOINT = (
    update(turns)
    .where(*_unended)
    .values(
        text=its(turns.c.text),
        events=its(turns.c.events),
        chunks=its(turns.c.chunks),
        provider=its(turns.c.provider),
        # Until it is chosen, what was asked for stays.
        model=func.coalesce(its(turns.c.model), turns.c.model),
        degraded=its(turns.c.degraded),
    )
)

ADD_ANSWER = messages.insert().values(
    session_id=_session,
    id=its(messages.c.id),
    position=select(messages.c.position)
    .where(_of_session, messages.c.id == _message)
    .scalar_subquery(),
    role="assistant",
    content=its(messages.c.content),
    state="shown",
    turn_id=its(messages.c.turn_id),
    reply_to=_message,
    interrupted=its(messages.c.interrupted),
    provider=its(messages.c.provider),
    model=its(messages.c.model),
    usage=its(messages.c.usage),
    created_at=its(messages.c.created_at),
)
"""An answer to a ``message``, at its position."""

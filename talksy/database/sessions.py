"""Sessions: whose they are, how long they live and lasted, and which nodes have their sockets.

The rows are up to a second behind what a node knows of its own sessions. So what is stored of
activity only grows, and nobody ends a session of another node's on the dot.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    String,
    bindparam,
    case,
    delete,
    func,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from talksy.database.clock import now_ms
from talksy.database.engine import Database, alone, reads, writes
from talksy.database.leases import alive
from talksy.database.rows import SessionRow
from talksy.database.tables import messages, nodes, presence, sessions

LAG_MS = 3_000
"""So long what a node knows of its sessions may take to be stored."""
SWEEP_ROWS = 500
"""So many rows are asked for, or erased, by one statement."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What a node has to say of a session of its own; times in milliseconds since the epoch."""

    session_id: str
    user_id: str
    last_active_at: int
    expires_at: int
    """When it ends if nothing more happens, as long as somebody is in it."""
    sockets: int
    """How many it has on this node."""
    ends_at: int
    """When it ends if nobody is in it anywhere; only looked at without sockets."""


class SessionRows:
    """The table of sessions, as ``node`` writes it. A session is open until ``ended_at`` is set.

    A node has sockets in a session as long as its lease lives.
    """

    def __init__(self, database: Database, *, node: str) -> None:
        self._database = database
        self._node = node

    @writes
    def add(
        self, connection: Connection, rows: Sequence[SessionRow], *, now: int, most: int
    ) -> Collection[str]:
        """Keeps new sessions, each with a socket here, as far as their users have room: ``most``
        may be open at ``now``. Returns the ids of those that were kept.
        """
        counts = _counted(connection, sorted({row.user_id for row in rows}), now)
        kept = []
        for row in rows:
            if counts[row.user_id] < most:
                counts[row.user_id] += 1
                kept.append(row)
        if kept:
            connection.execute(
                _ADD,
                [
                    {
                        "id": row.id,
                        "user_id": row.user_id,
                        "created_at": row.created_at,
                        "opened_at": row.opened_at,
                        "last_active_at": row.last_active_at,
                        "expires_at": row.expires_at,
                    }
                    for row in kept
                ],
            )
            connection.execute(
                _APPEAR,
                [
                    {
                        "session_id": row.id,
                        "node_id": self._node,
                        "user_id": row.user_id,
                        "sockets": 1,
                    }
                    for row in kept
                ],
            )
        return {row.id for row in kept}

    async def find(self, session_id: str) -> SessionRow | None:
        """The session, or None."""
        found = await self.find_all([session_id])
        return found[0] if found else None

    @reads
    def find_all(self, connection: Connection, session_ids: Sequence[str]) -> list[SessionRow]:
        """Those of the sessions that there are."""
        found: list[SessionRow] = []
        for first in range(0, len(session_ids), SWEEP_ROWS):
            some = session_ids[first : first + SWEEP_ROWS]
            rows = connection.execute(_FOUND, {"ids": some})
            found += [SessionRow(**row._mapping) for row in rows]
        return found

    @reads
    def empty(self, connection: Connection, now: int, user_id: str) -> list[str]:
        """The open sessions of a user in which nothing was said, oldest first, but for those in
        which somebody is on another node.
        """
        said = select(messages.c.session_id).where(messages.c.session_id == sessions.c.id)
        query = (
            select(sessions.c.id)
            .where(
                sessions.c.ended_at.is_(None),
                sessions.c.expires_at > now,
                sessions.c.user_id == user_id,
                ~said.exists(),
                ~self._elsewhere(),
            )
            .order_by(sessions.c.last_active_at)
        )
        return [row.id for row in connection.execute(query)]

    # ---- what a node knows of its own

    async def mark(self, marks: Sequence[Mark], gone: Collection[str] = ()) -> None:
        """Stores what the node knows of open sessions, and that it has none of ``gone`` any more.

        A session without sockets here ends as its mark says, unless it has some elsewhere.
        """
        if marks or gone:
            await self._mark(marks, gone)

    @writes
    def _mark(self, connection: Connection, marks: Sequence[Mark], gone: Collection[str]) -> None:
        # In an order that all keep to, so that two cannot wait for each other. The sessions' rows
        # come first: of two nodes that leave one at once the second sees that the first has left.
        values = [
            {
                "session": mark.session_id,
                "user": mark.user_id,
                "active": mark.last_active_at,
                "expires": mark.expires_at,
                "sockets": mark.sockets,
                "ends": mark.ends_at,
            }
            for mark in sorted(marks, key=lambda mark: mark.session_id)
        ]
        held = [value for value in values if value["sockets"]]
        left = [value for value in values if not value["sockets"]]
        parted = sorted({*gone, *(str(value["session"]) for value in left)})
        of_session = (sessions.c.id == bindparam("session"), sessions.c.ended_at.is_(None))
        if values:
            connection.execute(
                update(sessions)
                .where(*of_session)
                .values(
                    last_active_at=_later(sessions.c.last_active_at, "active"),
                    expires_at=_later(sessions.c.expires_at, "expires"),
                ),
                values,
            )
        if held:
            self._appear(connection, held)
        if parted:
            connection.execute(
                delete(presence).where(
                    presence.c.session_id == bindparam("session"),
                    presence.c.node_id == self._node,
                ),
                [{"session": session_id} for session_id in parted],
            )
        if left:
            connection.execute(
                update(sessions)
                .where(*of_session, ~self._elsewhere())
                .values(expires_at=_sooner(sessions.c.expires_at, "ends")),
                left,
            )

    def _appear(self, connection: Connection, held: Sequence[Mapping[str, Any]]) -> None:
        kind = sqlite if connection.dialect.name == "sqlite" else postgresql
        here = kind.insert(presence).values(
            session_id=bindparam("session"),
            node_id=self._node,
            user_id=bindparam("user"),
            sockets=bindparam("sockets"),
        )
        connection.execute(
            here.on_conflict_do_update(
                index_elements=list(presence.primary_key),
                set_={"sockets": here.excluded.sockets},
            ),
            held,
        )

    @reads
    def held(self, connection: Connection) -> int:
        """In how many sessions this node has sockets, as the rows say."""
        query = select(func.count()).where(presence.c.node_id == self._node)
        return int(connection.execute(query).scalar_one())

    @reads
    def present(self, connection: Connection) -> set[str]:
        """Which sessions those are."""
        query = select(presence.c.session_id).where(presence.c.node_id == self._node)
        return set(connection.execute(query).scalars())

    @reads
    def sockets_elsewhere(
        self, connection: Connection, user_ids: Sequence[str]
    ) -> Mapping[str, int]:
        """How many sockets users have in sessions on other nodes, as of a second ago; those with
        none are left out.
        """
        asked = {"users": sorted(set(user_ids)), "here": self._node}
        return {row.user_id: int(row.sockets) for row in connection.execute(_ELSEWHERE, asked)}

    def _elsewhere(self) -> ColumnElement[bool]:
        """Whether another node that lives has sockets in the session, within a statement."""
        return (
            select(presence.c.session_id)
            .where(
                presence.c.session_id == sessions.c.id,
                presence.c.node_id != self._node,
                alive(presence.c.node_id),
            )
            .exists()
        )

    # ---- how they end, and come back

    @writes
    def end(self, connection: Connection, session_id: str, now: int) -> SessionRow | None:
        """Ends the session at ``now`` and adds what it lasted; an ended one stays as it is.

        Returns it, or None where there is none.
        """
        row = connection.execute(
            update(sessions)
            .where(sessions.c.id == session_id, sessions.c.ended_at.is_(None))
            .values(
                ended_at=now,
                duration_seconds=sessions.c.duration_seconds + (now - sessions.c.opened_at) // 1000,
            )
            .returning(sessions)
        ).one_or_none()
        if row is None:
            found = connection.execute(select(sessions).where(sessions.c.id == session_id))
            row = found.one_or_none()
        return SessionRow(**row._mapping) if row else None

    @writes
    def expire(self, connection: Connection, session_ids: Collection[str], now: int) -> None:
        """Ends sessions as of the moment at which the time of each ran out, if that is before
        ``now``.
        """
        lasted = (sessions.c.expires_at - sessions.c.opened_at) // 1000
        connection.execute(
            update(sessions)
            .where(
                sessions.c.id == bindparam("session"),
                sessions.c.ended_at.is_(None),
                sessions.c.expires_at <= now,
            )
            .values(
                ended_at=sessions.c.expires_at,
                duration_seconds=sessions.c.duration_seconds + lasted,
            ),
            # In the order of ``mark``.
            [{"session": session_id} for session_id in sorted(session_ids)],
        )

    @writes
    def prolong(self, connection: Connection, session_id: str, now: int, expires_at: int) -> bool:
        """Lets the session live until ``expires_at`` at least; whether it was open at ``now``."""
        changed = connection.execute(
            update(sessions)
            .where(
                sessions.c.id == session_id,
                sessions.c.ended_at.is_(None),
                sessions.c.expires_at > now,
            )
            .values(expires_at=_later(sessions.c.expires_at, "until")),
            {"until": expires_at},
        )
        return bool(changed.rowcount)

    @writes
    def reopen(
        self,
        connection: Connection,
        session_id: str,
        user_id: str,
        now: int,
        expires_at: int,
        *,
        most: int,
    ) -> SessionRow | None:
        """Opens an ended session of a user again; None where there is none, or its user has
        ``most`` that are open.
        """
        if _counted(connection, [user_id], now)[user_id] >= most:
            return None
        row = connection.execute(
            update(sessions)
            .where(sessions.c.id == session_id, sessions.c.user_id == user_id)
            .values(ended_at=None, opened_at=now, last_active_at=now, expires_at=expires_at)
            .returning(sessions)
        ).one_or_none()
        return SessionRow(**row._mapping) if row else None

    @reads
    def expired(self, connection: Connection, now: int) -> list[str]:
        """Open sessions whose time has run out at ``now``; those of other nodes only when these
        had the time to say that something was done in them.
        """
        rows = connection.execute(
            select(sessions.c.id).where(
                sessions.c.ended_at.is_(None),
                sessions.c.expires_at <= now,
                or_(sessions.c.expires_at <= now - LAG_MS, ~self._elsewhere()),
            )
        )
        return [row.id for row in rows]

    @reads
    def ended(self, connection: Connection, since: int) -> list[SessionRow]:
        """The sessions that ended after ``since`` and in which this node has sockets."""
        here = (presence.c.session_id == sessions.c.id) & (presence.c.node_id == self._node)
        rows = connection.execute(
            select(sessions).join(presence, here).where(sessions.c.ended_at > since)
        )
        return [SessionRow(**row._mapping) for row in rows]

    async def orphan(self, ends_at: int, *, unknown: bool = False) -> int:
        """Gives the sessions that dead nodes left until ``ends_at`` at most; counts them.

        Those in which somebody is on a node that lives go on. With ``unknown`` it looks for nodes
        that are not even remembered, through all that is present.
        """
        dead = select(nodes.c.id).where(nodes.c.alive_until <= now_ms())
        gone = ~alive(presence.c.node_id) if unknown else presence.c.node_id.in_(dead)
        left = select(*presence.primary_key).where(gone, presence.c.node_id != self._node)
        if not await self._any(left):
            return 0
        orphaned = 0
        while count := await self._orphan(left.limit(SWEEP_ROWS), ends_at):
            orphaned += count
        return orphaned

    @reads
    def _any(self, connection: Connection, left: Select[Any]) -> bool:
        return connection.execute(left.limit(1)).first() is not None

    @writes
    def _orphan(self, connection: Connection, left: Select[Any], ends_at: int) -> int:
        held = select(presence.c.session_id).where(
            presence.c.session_id == sessions.c.id, alive(presence.c.node_id)
        )
        alone(connection, "presence")
        # This first: a node that comes alive again finds that it has to say anew what it has.
        erased = connection.execute(
            delete(presence)
            .where(tuple_(*presence.primary_key).in_(left))
            .returning(presence.c.session_id)
        )
        ids = sorted({row.session_id for row in erased})
        connection.execute(
            update(sessions)
            .where(sessions.c.id.in_(ids), sessions.c.ended_at.is_(None), ~held.exists())
            .values(expires_at=_sooner(sessions.c.expires_at, "ends")),
            {"ends": ends_at},
        )
        return len(ids)


def _later(column: ColumnElement[int], name: str) -> ColumnElement[int]:
    """The greater of a column and the parameter ``name``: each database has another word for it."""
    value = bindparam(name, type_=BigInteger)
    return case((column < value, value), else_=column)


def _sooner(column: ColumnElement[int], name: str) -> ColumnElement[int]:
    value = bindparam(name, type_=BigInteger)
    return case((column > value, value), else_=column)


_open = (sessions.c.ended_at.is_(None), sessions.c.expires_at > bindparam("now", type_=BigInteger))
_COUNTS = (
    select(sessions.c.user_id, func.count().label("open"))
    .where(*_open, sessions.c.user_id.in_(bindparam("users", expanding=True)))
    .group_by(sessions.c.user_id)
)
_FOUND = select(sessions).where(sessions.c.id.in_(bindparam("ids", expanding=True)))
_ADD = sessions.insert()
_APPEAR = presence.insert()
_ELSEWHERE = (
    select(presence.c.user_id, func.sum(presence.c.sockets).label("sockets"))
    .where(
        presence.c.user_id.in_(bindparam("users", expanding=True)),
        presence.c.node_id != bindparam("here", type_=String),
        alive(presence.c.node_id),
    )
    .group_by(presence.c.user_id)
)


def _counted(connection: Connection, user_ids: Sequence[str], now: int) -> Counter[str]:
    """How many sessions of these users are open. Nobody else opens one until this is committed."""
    alone(connection, *user_ids)
    asked = {"users": user_ids, "now": now}
    return Counter({row.user_id: row.open for row in connection.execute(_COUNTS, asked)})

"""Turns as their rows tell of them, to whoever asks."""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import Connection, func, select

from talksy.database.engine import Database, reads
from talksy.database.leases import alive
from talksy.database.parking import waiting, with_state
from talksy.database.rows import TurnRow, turn_row
from talksy.database.statements import LANE, RUNNING, WAITING
from talksy.database.tables import messages, turns

ORPHANS = 200
"""So many turns of dead nodes are looked at together."""


class TurnRows:
    """The turns of all sessions, read by the node ``owner``."""

    def __init__(self, database: Database, *, owner: str) -> None:
        self._database = database
        self._owner = owner

    @property
    def owner(self) -> str:
        """The node in whose name it writes."""
        return self._owner

    @reads
    def find(self, connection: Connection, session_id: str, turn_id: str) -> TurnRow | None:
        """The turn; None where there is none in this session."""
        query = select(turns).where(turns.c.session_id == session_id, turns.c.id == turn_id)
        row = connection.execute(query).one_or_none()
        return turn_row(row) if row else None

    @reads
    def foremost(self, connection: Connection, session_id: str) -> str | None:
        """The turn that runs in a session, else the first that waits, else the newest."""
        asked = {"session": session_id}
        stands = connection.execute(LANE, asked).one()
        if stands.running:
            return str(stands.running)
        if stands.waiting:
            return connection.execute(WAITING, asked).scalars().first()
        of_session = turns.c.session_id == session_id
        newest = select(turns.c.id).where(of_session, turns.c.ordinal == stands.begun)
        return connection.execute(newest).scalars().first()

    @reads
    def find_all(self, connection: Connection, turn_ids: Collection[str]) -> Sequence[TurnRow]:
        """The turns with these ids, in no order."""
        rows = connection.execute(select(turns).where(turns.c.id.in_(turn_ids)))
        return [turn_row(row) for row in rows]

    @reads
    def running(self, connection: Connection, session_id: str) -> TurnRow | None:
        """The turn that has not ended in a session, whoever writes it."""
        row = connection.execute(RUNNING, {"session": session_id}).one_or_none()
        return turn_row(row) if row else None

    @reads
    def begun(self, connection: Connection, session_id: str, after: int) -> Sequence[TurnRow]:
        """The turns of a session that began behind the ordinal ``after``, in their order."""
        query = (
            select(turns)
            .where(turns.c.session_id == session_id, turns.c.ordinal > after)
            .order_by(turns.c.ordinal)
        )
        return [turn_row(row) for row in connection.execute(query)]

    @reads
    def lately(self, connection: Connection, since: int) -> Mapping[str, int]:
        """The last ordinal of each session in which a turn began since then."""
        query = (
            select(turns.c.session_id, func.max(turns.c.ordinal).label("last"))
            .where(turns.c.created_at > since)
            .group_by(turns.c.session_id)
        )
        return {row.session_id: row.last for row in connection.execute(query)}

    @reads
    def waiting(self, connection: Connection, session_id: str) -> Sequence[str]:
        """The turns that wait in a session, first first."""
        return connection.execute(WAITING, {"session": session_id}).scalars().all()

    @reads
    def own(self, connection: Connection) -> Mapping[str, bool]:
        """What runs in this node's name: the turns' ids, and whether it was taken over."""
        query = select(turns.c.id, turns.c.taken).where(
            turns.c.status == "running", turns.c.owner == self._owner
        )
        return {row.id: row.taken for row in connection.execute(query)}

    @reads
    def awake(self, connection: Connection, turn: TurnRow) -> TurnRow:
        """The turn with what it was parked with, if it was."""
        return with_state(connection, turn)

    @reads
    def pending(self, connection: Connection, turn_id: str) -> Sequence[str]:
        """The calls of a turn that wait for a person."""
        return waiting(connection, turn_id)

    @reads
    def orphans(self, connection: Connection) -> Sequence[TurnRow]:
        """Turns that run in the name of a node that is dead."""
        rows = connection.execute(
            select(turns)
            .where(
                turns.c.status == "running",
                turns.c.owner != self._owner,
                ~alive(turns.c.owner),
            )
            .limit(ORPHANS)
        )
        return [turn_row(row) for row in rows]

    @reads
    def stalled(self, connection: Connection) -> Sequence[str]:
        """Sessions in which messages wait and nothing runs."""
        busy = select(turns.c.session_id).where(turns.c.status.in_(("running", "parked")))
        rows = connection.execute(
            select(messages.c.session_id)
            .where(messages.c.state == "queued", messages.c.session_id.not_in(busy))
            .distinct()
        )
        return [row.session_id for row in rows]

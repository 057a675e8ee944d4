"""Which nodes live: one lease a node, on the clock of the database."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, delete, func, select, update

from talksy.database.clock import Clock, now_ms
from talksy.database.engine import Database, writes
from talksy.database.rows import Wanted
from talksy.database.tables import nodes, presence, turns

BURIED_MS = 60_000
"""So long after its end a lease is kept, for those who look at what a node left."""


@dataclass(frozen=True, slots=True)
class Lease:
    """What a node is told when it renews its lease."""

    nodes: int
    """How many nodes live, this one among them."""
    running: Mapping[str, Wanted | None]
    """The turns that it writes by their ids, and the ending that somebody asks for."""


class Leases:
    """The lease of the node ``owner``, which runs on the machine ``host``; ``ms`` is how long it
    lives without being renewed. With each renewal ``clock`` learns what time it is.
    """

    def __init__(
        self,
        database: Database,
        *,
        owner: str,
        host: str,
        ms: int = 10_000,
        clock: Clock | None = None,
    ) -> None:
        self._database = database
        self._owner = owner
        self._host = host
        self.ms = ms
        self._clock = clock

    async def renew(self) -> Lease:
        """Lives for another ``ms`` milliseconds. Raises ``Overloaded``."""
        return await self._database.write(self._renew, apart=True)

    def _renew(self, connection: Connection) -> Lease:
        until = now_ms() + self.ms
        renewed = connection.execute(
            update(nodes).where(nodes.c.id == self._owner).values(alive_until=until)
        )
        if not renewed.rowcount:
            connection.execute(
                nodes.insert().values(id=self._owner, host=self._host, alive_until=until)
            )
        alive = connection.execute(
            select(func.count()).select_from(nodes).where(nodes.c.alive_until > now_ms())
        )
        running = connection.execute(
            select(turns.c.id, turns.c.wanted).where(
                turns.c.owner == self._owner, turns.c.status == "running"
            )
        )
        if self._clock is not None:
            self._clock.learn(connection)
        return Lease(alive.scalar_one(), {row.id: row.wanted for row in running})

    @writes
    def give_back(self, connection: Connection) -> None:
        """Lives no longer: what it left is anybody's at once. Raises ``Overloaded``."""
        connection.execute(delete(nodes).where(nodes.c.id == self._owner))
        connection.execute(delete(presence).where(presence.c.node_id == self._owner))

    @writes
    def bury(self, connection: Connection) -> None:
        """Erases leases that ended long ago, unless what their nodes left is still to be looked
        after. Raises ``Overloaded``.
        """
        left = select(presence.c.session_id).where(presence.c.node_id == nodes.c.id)
        connection.execute(
            delete(nodes).where(nodes.c.alive_until < now_ms() - BURIED_MS, ~left.exists())
        )


def alive(node_id: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether the node of this id lives, within a statement."""
    return select(nodes.c.id).where(nodes.c.id == node_id, nodes.c.alive_until > now_ms()).exists()

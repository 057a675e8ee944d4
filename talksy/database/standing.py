"""What can be told of a database: what keeps it from serving, and what an operator should know."""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, func, select, text

from talksy.database.clock import now_ms
from talksy.database.engine import Database, ahead_ms
from talksy.database.postgres import Unfit
from talksy.database.tables import metadata, nodes

CLOCK_MS = 2_000
"""Clocks that differ by more are told of, although only log lines go by ours."""

_SERVER = text("""
    SELECT pg_is_in_recovery() AS follower,
           current_setting('transaction_read_only') = 'on' AS read_only,
           current_setting('synchronous_commit') AS commits,
           current_setting('fsync') = 'on' AS fsync,
           current_setting('synchronous_standby_names') AS standbys,
           (SELECT count(*) FROM pg_stat_replication) AS followers,
           (SELECT sum(numbackends) FROM pg_stat_database) AS taken,
           least(
               current_setting('max_connections')::int
                   - current_setting('superuser_reserved_connections')::int,
               (SELECT nullif(rolconnlimit, -1) FROM pg_roles WHERE rolname = current_user),
               (SELECT nullif(datconnlimit, -1) FROM pg_database WHERE datname = current_database())
           ) AS room
""")
_LACKING = text("""
    SELECT string_agg(DISTINCT need, ', ') AS needs, count(DISTINCT name) AS tables,
           min(name) AS first
    FROM unnest(string_to_array(:tables, ',')) AS name,
         unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS need
    WHERE NOT has_table_privilege(quote_ident(name), need)
""")


@dataclass(frozen=True, slots=True)
class Server:
    """What is particular to a PostgreSQL."""

    follower: bool
    """It is a standby: what it has is another server's."""
    read_only: bool
    """No transaction of ours may write."""
    lacking: str | None
    """What the role may not do, such as ``INSERT on turns and 8 more tables``."""
    room: int
    """How many connections the role may have, if nobody else has any."""
    taken: int
    """How many there are, everybody's."""
    commits: str
    """Its ``synchronous_commit``."""
    fsync: bool
    followers: int
    """The standbys that receive from it."""
    standbys: str
    """Its ``synchronous_standby_names``."""

    @property
    def waits(self) -> bool:
        """Whether what was committed is on a standby, too, where there are any."""
        return bool(self.standbys) and self.commits not in ("off", "local")


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of a database."""

    version: str
    ahead_ms: int
    """By how much its clock is ahead of ours."""
    hosts: tuple[str, ...]
    """The machines of the nodes that live, one entry a node."""
    server: Server | None
    """None for a file."""

    @property
    def clock_off(self) -> bool:
        """Whether the clocks differ by more than they should."""
        return abs(self.ahead_ms) > CLOCK_MS

    def must_serve(self) -> None:
        """Raises ``Unfit`` where a node cannot do its work with it."""
        for fault in self._faults():
            raise Unfit(fault)

    def _faults(self) -> Iterator[str]:
        server = self.server
        if server is None:
            return
        if server.follower:
            yield "the database is a standby and only reads: give the address of its primary"
        elif server.read_only:
            yield (
                "the database only reads: default_transaction_read_only is on for the server, the "
                "database or the role"
            )
        elif server.lacking:
            yield (
                f"the role of DATABASE_URL may not {server.lacking}: "
                "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public"
            )


async def inspect(database: Database) -> Standing:
    """Looks at a database whose tables are up to date. Raises ``Overloaded``."""
    return await database.write(_inspect)


def _inspect(connection: Connection) -> Standing:
    ahead = ahead_ms(connection)
    if connection.dialect.name == "sqlite":
        version = connection.execute(select(func.sqlite_version())).scalar_one()
        return Standing(version, ahead, _hosts(connection), None)
    version = ".".join(map(str, connection.dialect.server_version_info or ()))
    server = _server(connection)
    # Who may not do everything may not be able to read them.
    hosts = () if server.lacking else _hosts(connection)
    return Standing(version, ahead, hosts, server)


def _hosts(connection: Connection) -> tuple[str, ...]:
    alive = select(nodes.c.host).where(nodes.c.alive_until > now_ms()).order_by(nodes.c.id)
    return tuple(connection.execute(alive).scalars())


def _server(connection: Connection) -> Server:
    told = connection.execute(_SERVER).one()
    lacks = connection.execute(_LACKING, {"tables": ",".join(metadata.tables)}).one()
    more = f" and {lacks.tables - 1} more tables" if lacks.tables > 1 else ""
    return Server(
        follower=told.follower,
        read_only=told.read_only,
        lacking=f"{lacks.needs} on {lacks.first}{more}" if lacks.needs else None,
        room=told.room,
        taken=int(told.taken),
        commits=told.commits,
        fsync=told.fsync,
        followers=told.followers,
        standbys=told.standbys,
    )

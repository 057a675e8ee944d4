"""An embedded database is for one machine: SQLite's locks do not hold across a shared folder.

So the machine that has it says so in a row, by a lease as nodes have, and another one finds it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from sqlalchemy import select

from talksy.database.clock import now_ms
from talksy.database.engine import Database
from talksy.database.leases import Leases
from talksy.database.sqlite import InUse
from talksy.database.tables import nodes

log = structlog.get_logger(__name__)

LOOK_SECONDS = 0.1


@asynccontextmanager
async def only_machine(database: Database, *, host: str, ms: int) -> AsyncIterator[None]:
    """Holds the database for the machine ``host`` until the block ends.

    Raises ``InUse`` where another machine has it. What that one left when it crashed runs out after
    ``ms`` milliseconds, which are waited for.
    """
    await _wait_for_others(database, host)
    # Not in a node's name: what a node of this machine leaves when it crashes is not waited for.
    leases = Leases(database, owner=f"machine {host}"[:64], host=host, ms=ms)
    await leases.renew()
    task = asyncio.create_task(_renew(leases), name="machine")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        try:
            await leases.give_back()
        except Exception as error:  # noqa: BLE001 - then it runs out by itself
            log.warning("machine_not_given_back", error=type(error).__name__)


async def _wait_for_others(database: Database, host: str) -> None:
    """Returns when no other machine has the database; who renews its lease has it."""
    theirs = select(nodes.c.id, nodes.c.host, nodes.c.alive_until).where(
        nodes.c.alive_until > now_ms(), nodes.c.host != host
    )
    seen: dict[str, int] = {}
    while True:
        left = await database.read(lambda connection: connection.execute(theirs).all())
        for row in left:
            if row.alive_until > seen.get(row.id, row.alive_until):
                raise InUse(
                    f"the machine {row.host} serves from this SQLite file: it is for one machine, "
                    "give several a PostgreSQL in DATABASE_URL"
                )
        if not left:
            return
        if not seen:
            log.info("waiting_for_machine", host=left[0].host)
        seen = {row.id: row.alive_until for row in left}
        await asyncio.sleep(LOOK_SECONDS)


async def _renew(leases: Leases) -> None:
    while True:
        await asyncio.sleep(leases.ms / 3000)
        try:
            await leases.renew()
        except Exception as error:  # noqa: BLE001 - the lease lasts for another try or two
            log.warning("machine_not_renewed", error=type(error).__name__)

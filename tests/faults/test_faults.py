"""A little of what ``make faults`` does at length: nothing is lost, whatever breaks."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.faults.fleet import Fleet, running_fleet
from tests.faults.rows import ROWS, Row
from tests.faults.run import Load, harm_fleet
from tests.postgres import running_postgres

LOAD = Load(turns=9, tokens=150, rate=50, at=1)
CHOICE = ("subscriptions killed", "FLUSHALL", "Redis away 1 s", "hop", "node killed")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fleet() -> AsyncIterator[Fleet]:
    """One for all rows, mended between them."""
    with running_postgres() as postgres:
        async with running_fleet(postgres) as fleet:
            yield fleet


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    "row", [row for row in ROWS if row.name in CHOICE], ids=lambda row: row.name
)
async def test_every_reader_is_told_every_token_once_and_one_ending(row: Row, fleet: Fleet) -> None:
    await fleet.mend()
    outcome = await harm_fleet(row, LOAD, fleet)
    assert not outcome.complaints, outcome.verdict.faults

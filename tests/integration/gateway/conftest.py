from collections.abc import AsyncIterator, Iterator

import pytest

from talksy.database import Database
from tests.integration.database.opened import (
    Fresh,
    database,
    file,
    fresh,
    impatient,
    postgres,
    tables,
    template,
    url,
)
from tests.integration.gateway.rig import House, opened

__all__ = [
    "database",
    "file",
    "fresh",
    "house",
    "impatient",
    "postgres",
    "shared_url",
    "tables",
    "template",
    "url",
]


@pytest.fixture
async def house(database: Database) -> AsyncIterator[House]:
    async with opened(database) as node:
        yield node


@pytest.fixture
def shared_url(fresh: Fresh) -> Iterator[str]:
    """Where a database stands that several nodes may share: each kind of them in turn."""
    with fresh() as where:
        yield where

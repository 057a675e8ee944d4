from collections.abc import AsyncIterator

import pytest

from talksy.database import Database
from tests.integration.database.opened import database, file, impatient, template, url
from tests.integration.gateway.rig import House, opened

__all__ = ["database", "file", "house", "impatient", "template", "url"]


@pytest.fixture
async def house(database: Database) -> AsyncIterator[House]:
    async with opened(database) as node:
        yield node

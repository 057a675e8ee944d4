from collections.abc import Iterator

import pytest

from talksy.database import Database
from talksy.database.history import History
from talksy.database.lane import Lane
from tests.integration.database.opened import (
    Fresh,
    bare,
    database,
    file,
    fresh,
    impatient,
    postgres,
    postgres_url,
    tables,
    template,
)
from tests.integration.database.rows import Story

__all__ = [
    "bare",
    "database",
    "file",
    "fresh",
    "impatient",
    "postgres",
    "postgres_url",
    "tables",
    "template",
]


@pytest.fixture
def url(fresh: Fresh) -> Iterator[str]:
    """Where a database stands that nobody else uses: each kind of them in turn."""
    with fresh() as where:
        yield where


@pytest.fixture
def story(database: Database) -> Story:
    return Story(database, Lane(database, owner="node_a"), History(database))

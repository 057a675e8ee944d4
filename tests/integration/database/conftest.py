import pytest

from talksy.database import Database
from talksy.database.history import History
from talksy.database.lane import Lane
from tests.integration.database.opened import database, file, impatient, template, url
from tests.integration.database.rows import Story

__all__ = ["database", "file", "impatient", "story", "template", "url"]


@pytest.fixture
def story(database: Database) -> Story:
    return Story(database, Lane(database, owner="node_a"), History(database))

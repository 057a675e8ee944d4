from collections.abc import Iterator

import pytest

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

__all__ = ["database", "file", "fresh", "impatient", "postgres", "tables", "template", "url"]


@pytest.fixture
def shared_url(fresh: Fresh) -> Iterator[str]:
    """Where a database stands that several nodes may share: each kind of them in turn."""
    with fresh() as where:
        yield where

"""Servers of our transport, on both loops."""

from collections.abc import Iterator

import pytest

from tests.protocol.process import App, running

LOOPS = ["uvloop", "asyncio"]


@pytest.fixture(scope="session", params=LOOPS)
def app(request: pytest.FixtureRequest) -> Iterator[App]:
    """The conformance app. It must end without an error in its log."""
    with running("talksy.transports.socketio.conformance", request.param) as app:
        yield app


@pytest.fixture(scope="session", params=LOOPS)
def shop(request: pytest.FixtureRequest) -> Iterator[App]:
    """An app with handlers for everything. It must end without an error in its log."""
    with running("tests.protocol.app", request.param) as app:
        yield app

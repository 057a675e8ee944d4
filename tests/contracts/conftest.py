"""The server and the clients of the black-box tests."""

from tests.e2e.conftest import account, http, server

__all__ = ["account", "http", "server"]

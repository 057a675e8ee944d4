"""Durable truth: users, token families, sessions, messages, turns, usage."""

from talksy.database.engine import Database
from talksy.database.migrate import Outdated, SchemaError, schema_sql
from talksy.database.postgres import Unfit, Unreachable
from talksy.database.sqlite import InUse
from talksy.database.standing import CLOCK_MS, Server, Standing, inspect

__all__ = [
    "CLOCK_MS",
    "Database",
    "InUse",
    "Outdated",
    "SchemaError",
    "Server",
    "Standing",
    "Unfit",
    "Unreachable",
    "inspect",
    "schema_sql",
]

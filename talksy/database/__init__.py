"""Durable truth: users, token families, sessions, messages, turns, usage."""

from talksy.database.engine import Database
from talksy.database.migrate import Outdated, SchemaError, schema_sql
from talksy.database.postgres import Unreachable
from talksy.database.sqlite import InUse

__all__ = ["Database", "InUse", "Outdated", "SchemaError", "Unreachable", "schema_sql"]

"""Durable truth: users, token families, sessions, messages, turns."""

from talksy.database.engine import Database
from talksy.database.migrate import SchemaError

__all__ = ["Database", "SchemaError"]

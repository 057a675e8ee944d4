"""Durable truth: users, token families, sessions, messages, turns."""

from talksy.database.engine import Database, InUse
from talksy.database.migrate import SchemaError

__all__ = ["Database", "InUse", "SchemaError"]

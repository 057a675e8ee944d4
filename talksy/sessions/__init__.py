"""Who is talking, and for how long."""

from talksy.sessions.sessions import Life, Session, Sessions

__all__ = ["Life", "Session", "Sessions"]

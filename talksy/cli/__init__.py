"""The ``talksy`` command."""

from talksy.cli.main import main

__all__ = ["main"]

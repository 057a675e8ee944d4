"""The environment, read once, checked as a whole, then frozen."""

from talksy.config.faults import SettingsError
from talksy.config.settings import Settings, unknown_names

__all__ = ["Settings", "SettingsError", "unknown_names"]

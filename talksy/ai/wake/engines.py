"""The wake word engines of a node, and who listens for which phrase."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

import structlog

from talksy.ai.wake.base import WakeDetector, WakeEngine
from talksy.errors import ProviderUnavailable

log = structlog.get_logger(__name__)

ENGINES: Mapping[str, str] = {
    "micro": "talksy.ai.wake.micro:MicroWake",
    "keyphrase": "talksy.ai.wake.keyphrase:KeyphraseWake",
    "mock": "talksy.ai.wake.mock:MockWake",
}
"""Where each engine lives, as ``module:class``, the best first; its native library is imported only
when it is warmed. The class takes its options by keyword."""
PLUGINS = "talksy.wake"
"""The group of entry points by which another package adds an engine: its name, and a class whose
objects are a ``WakeEngine``. The names above cannot be taken."""


def known_engines() -> list[str]:
    """The names of all engines there are, sorted; whether they are installed shows when warmed."""
    return sorted({*ENGINES, *entry_points(group=PLUGINS).names})


def open_engine(name: str, options: Mapping[str, Mapping[str, Any]]) -> WakeEngine:
    """The engine called ``name``; ``options`` holds the arguments of every engine by its name.

    Raises ``ValueError`` for an unknown one, and for another package's that is not what it should
    be. Whoever opens an engine closes it.
    """

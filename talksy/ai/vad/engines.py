"""From the name of a detector to the detector: what is built in, and what other packages add."""

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from talksy.ai.vad.base import Judge, SpeechDetector

ENGINES: Mapping[str, str] = {
    "combined": "talksy.ai.vad.combined:CombinedJudge",
    "silero": "talksy.ai.vad.silero:SileroJudge",
    "webrtc": "talksy.ai.vad.webrtc:WebRTCJudge",
    "energy": "talksy.ai.vad.energy:EnergyJudge",
}
"""Where each engine lives, as ``module:class``, the best first; its native library is imported only
when it is opened. The class takes its options by keyword."""
PLUGINS = "talksy.vad"
"""The group of entry points by which another package adds an engine: its name, and a class whose
objects are a ``Judge``. The names above cannot be taken."""


def known_engines() -> list[str]:
    """The names of all engines there are, sorted; whether they are installed shows when opened."""
    return sorted({*ENGINES, *entry_points(group=PLUGINS).names})


def open_detector(name: str, options: Mapping[str, Mapping[str, Any]]) -> SpeechDetector:
    """The detector called ``name``; ``options`` holds the arguments of every engine by its name.

    Raises ``ValueError`` for an unknown one, or another package's that is not what it should be,
    and ``ProviderUnavailable`` where what it runs on is not installed: the ``hint`` says what.
    """
    arguments = options.get(name, {})
    if name in ENGINES:
        module, _, kind = ENGINES[name].partition(":")
        return SpeechDetector(getattr(import_module(module), kind)(**arguments))
    found = entry_points(group=PLUGINS, name=name)
    if not found:
        known = ", ".join(known_engines())
        raise ValueError(f'there is no speech detector "{name}": the known ones are {known}')
    judge = next(iter(found)).load()(**arguments)
    if not isinstance(judge, Judge):
        raise ValueError(  # noqa: TRY004 - what is wrong is the package
            f'the speech detector "{name}" of another package is no Judge: see talksy.ai.vad.base'
        )
    return SpeechDetector(judge)

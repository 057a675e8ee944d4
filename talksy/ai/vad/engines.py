"""The speech detectors there are."""

from collections.abc import Mapping
from typing import Any

from talksy.ai.slot import Slot
from talksy.ai.vad.base import Judge, SpeechDetector

ENGINES = Slot(
    what="speech detector",
    built_in={
        "combined": "talksy.ai.vad.combined:CombinedJudge",
        "silero": "talksy.ai.vad.silero:SileroJudge",
        "webrtc": "talksy.ai.vad.webrtc:WebRTCJudge",
        "energy": "talksy.ai.vad.energy:EnergyJudge",
    },
    plugins="talksy.vad",
    contract=Judge,
)


def open_detector(
    name: str, options: Mapping[str, Mapping[str, Any]] | None = None
) -> SpeechDetector:
    """The detector called ``name``; ``options`` holds the arguments of each by its name.

    Raises ``ValueError`` as ``Slot.open``, and ``ProviderUnavailable`` where what it runs on is not
    installed: the ``hint`` says what.
    """
    return SpeechDetector(ENGINES.open(name, options or {}))

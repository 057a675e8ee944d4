"""The synthesizers there are."""

from collections.abc import Mapping
from typing import Any

from talksy.ai.slot import Slot
from talksy.ai.tts.base import Synthesizer

VENDORS = Slot(
    what="synthesizer",
    built_in={
        "groq": "talksy.ai.tts.groq:GroqSynthesizer",
        "mock": "talksy.ai.tts.mock:MockSynthesizer",
        "offline": "talksy.ai.tts.offline:OfflineSynthesizer",
        "openai": "talksy.ai.tts.openai:OpenAISynthesizer",
    },
    plugins="talksy.tts",
    contract=Synthesizer,
)


def open_synthesizer(
    name: str, options: Mapping[str, Mapping[str, Any]] | None = None
) -> Synthesizer:
    """The synthesizer called ``vendor`` or ``vendor:model``, such as ``offline:flite``.

    ``options`` holds the arguments of every vendor under its name; a model in the name goes before
    the one there. Raises ``ValueError`` as ``Slot.open``, and ``ProviderUnavailable`` where what it
    runs on is not installed: the ``hint`` says what. Whoever opens one closes it.
    """
    vendor, _, model = name.partition(":")
    arguments = {**(options or {}).get(vendor, {}), **({"model": model} if model else {})}
    opened: Synthesizer = VENDORS.open(vendor, {vendor: arguments})
    return opened

"""The recognisers there are."""

from collections.abc import Mapping
from typing import Any

from talksy.ai.slot import Slot
from talksy.ai.stt.base import Recognizer

VENDORS = Slot(
    what="recogniser",
    built_in={
        "groq": "talksy.ai.stt.groq:GroqRecognizer",
        "mock": "talksy.ai.stt.mock:MockRecognizer",
        "offline": "talksy.ai.stt.sphinx:SphinxRecognizer",
        "openai": "talksy.ai.stt.openai:OpenAIRecognizer",
    },
    plugins="talksy.stt",
    contract=Recognizer,
)


def open_recognizer(
    name: str, options: Mapping[str, Mapping[str, Any]] | None = None
) -> Recognizer:
    """The recogniser called ``vendor`` or ``vendor:model``, such as ``openai:gpt-transcribe``.

    ``options`` holds the arguments of every vendor under its name; a model in the name goes before
    the one there. Raises ``ValueError`` as ``Slot.open``, and ``ProviderUnavailable`` where what it
    runs on is not installed: the ``hint`` says what. Whoever opens one closes it.
    """
    vendor, _, model = name.partition(":")
    arguments = {**(options or {}).get(vendor, {}), **({"model": model} if model else {})}
    opened: Recognizer = VENDORS.open(vendor, {vendor: arguments})
    return opened

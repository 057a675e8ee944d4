"""From the name of a model to the model: what is built in, and what other packages add."""

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from talksy.ai.llm.base import LanguageModel

VENDORS: Mapping[str, str] = {
    "groq": "talksy.ai.llm.groq:GroqModel",
    "mock": "talksy.ai.llm.mock:MockModel",
    "openai": "talksy.ai.llm.openai:OpenAIModel",
}
"""Where each vendor's model lives, as ``module:class``; a vendor's SDK is imported only when a
model of it is opened. The class takes the name of the model as ``model`` and its other options by
keyword."""
PLUGINS = "talksy.llm"
"""The group of entry points by which another package adds a vendor: its name, and such a class.
The names above cannot be taken."""


def known_vendors() -> list[str]:
    """The names of all vendors there are, sorted."""
    return sorted({*VENDORS, *entry_points(group=PLUGINS).names})


def open_model(name: str, options: Mapping[str, Mapping[str, Any]]) -> LanguageModel:
    """The model called ``vendor`` or ``vendor:model``, such as ``openai:gpt-4o-mini``.

    ``options`` holds the arguments of every vendor under its name, so that one mapping serves all
    names; a model in the name goes before the one there::

        open_model("openai:gpt-4o-mini", {"mock": {"delay_ms": 30}, "openai": {"api_key": key}})

    Raises ``ValueError`` for an unknown vendor, and for another package's that is not what it
    should be. Whoever opens a model closes it.
    """
    vendor, _, model = name.partition(":")
    arguments = dict(options.get(vendor, {}))
    if model:
        arguments["model"] = model
    if vendor in VENDORS:
        module, _, kind = VENDORS[vendor].partition(":")
        opened: LanguageModel = getattr(import_module(module), kind)(**arguments)
        return opened
    found = entry_points(group=PLUGINS, name=vendor)
    if not found:
        known = ", ".join(known_vendors())
        raise ValueError(f'there is no model vendor "{vendor}": the known ones are {known}')
    if len(found) > 1:
        raise ValueError(f'several packages add the model vendor "{vendor}": keep one of them')
    return _plugged(next(iter(found)), arguments)


def _plugged(entry: EntryPoint, arguments: Mapping[str, Any]) -> LanguageModel:
    package = entry.dist.name if entry.dist else entry.value
    try:
        model = entry.load()(**arguments)
    except Exception as error:
        raise ValueError(
            f'the model vendor "{entry.name}" of the package {package} does not start: '
            f"{type(error).__name__}: {error}"
        ) from error
    if not isinstance(model, LanguageModel):
        raise ValueError(  # noqa: TRY004 - what is wrong is the package
            f'the model vendor "{entry.name}" of the package {package} is no LanguageModel: '
            "see talksy.ai.llm.base"
        )
    return model

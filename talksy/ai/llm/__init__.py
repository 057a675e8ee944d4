"""Language models: one contract, and a file for each vendor."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, cast

from talksy.ai.llm.base import Delta, LanguageModel, Part, ToolCall, ToolSpec, Used

__all__ = [
    "VENDORS",
    "Delta",
    "LanguageModel",
    "Part",
    "ToolCall",
    "ToolSpec",
    "Used",
    "open_model",
]

VENDORS: Mapping[str, str] = {
    "mock": "talksy.ai.llm.mock:MockModel",
    "openai": "talksy.ai.llm.openai:OpenAIModel",
}
"""Where each vendor's model lives, as ``module:class``; a vendor's SDK is imported only when a
model of it is opened. The class takes the name of the model as ``model`` and its other options by
keyword."""


def open_model(name: str, options: Mapping[str, Mapping[str, Any]]) -> LanguageModel:
    """The model called ``vendor`` or ``vendor:model``, such as ``openai:gpt-4o-mini``.

    ``options`` holds the arguments of every vendor under its name, so that one mapping serves all
    names; a model in the name goes before the one there::

        open_model("openai:gpt-4o-mini", {"mock": {"delay_ms": 30}, "openai": {"api_key": key}})

    Raises ``ValueError`` for an unknown vendor. Whoever opens a model closes it.
    """
    vendor, _, model = name.partition(":")
    if vendor not in VENDORS:
        known = ", ".join(sorted(VENDORS))
        raise ValueError(f'there is no model vendor "{vendor}": the known ones are {known}')
    arguments = dict(options.get(vendor, {}))
    if model:
        arguments["model"] = model
    module, _, kind = VENDORS[vendor].partition(":")
    return cast("LanguageModel", getattr(import_module(module), kind)(**arguments))

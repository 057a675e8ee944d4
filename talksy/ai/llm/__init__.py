"""Language models: one contract, a file for each vendor, and a model made of models."""

from talksy.ai.llm.base import (
    Answering,
    BreakerState,
    Delta,
    LanguageModel,
    Outcome,
    Part,
    StreamReset,
    ToolCall,
    ToolSpec,
    Unwatched,
    Used,
    Watcher,
    Working,
)
from talksy.ai.llm.fallback import Choice, Fallback, Silence
from talksy.ai.llm.models import Models, Plan
from talksy.ai.llm.vendors import PLUGINS, VENDORS, known_vendors, open_model

__all__ = [
    "PLUGINS",
    "VENDORS",
    "Answering",
    "BreakerState",
    "Choice",
    "Delta",
    "Fallback",
    "LanguageModel",
    "Models",
    "Outcome",
    "Part",
    "Plan",
    "Silence",
    "StreamReset",
    "ToolCall",
    "ToolSpec",
    "Unwatched",
    "Used",
    "Watcher",
    "Working",
    "known_vendors",
    "open_model",
]

"""Models of OpenAI, and of every server that speaks its chat completions."""

from typing import Any, Unpack

from talksy.ai.llm.completions import CompletionsModel
from talksy.ai.openai import OpenAI, hosted
from talksy.ai.vendor import Access

_SETTINGS = {"key": "OPENAI_API_KEY", "model": "OPENAI_MODEL", "url": "OPENAI_BASE_URL"}


class OpenAIModel(CompletionsModel):
    """A ``LanguageModel`` behind OpenAI's chat completions; the server is that of ``OpenAI``.

    ``max_tokens`` goes out as ``max_completion_tokens`` to OpenAI and Azure, whose newest models
    take nothing else, and as ``max_tokens`` to everybody else, some of whom (Ollama) ignore the
    newer name without a word. ``temperature`` is left out unless it is set: reasoning models refuse
    any but their own.
    """

    def __init__(
        self,
        *,
        model: str,
        max_tokens: int | None = None,
        temperature: float | None = None,
        **access: Unpack[Access],
    ) -> None:
        options: dict[str, Any] = {"stream_options": {"include_usage": True}}
        if max_tokens is not None:
            options[_limit_name(access.get("base_url"))] = max_tokens
        if temperature is not None:
            options["temperature"] = temperature
        super().__init__(OpenAI(_SETTINGS, model=model, **access), options)


def _limit_name(base_url: str | None) -> str:
    newest = hosted(base_url, ".openai.com", ".azure.com")
    return "max_completion_tokens" if newest else "max_tokens"

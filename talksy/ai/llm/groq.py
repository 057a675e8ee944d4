"""Models of Groq."""

from typing import Any, Unpack

from talksy.ai.groq import Groq
from talksy.ai.llm.completions import CompletionsModel
from talksy.ai.vendor import Access

_SETTINGS = {"key": "GROQ_API_KEY", "model": "GROQ_MODEL", "url": "GROQ_BASE_URL"}


class GroqModel(CompletionsModel):
    """A ``LanguageModel`` behind Groq's chat completions; the server is that of ``Groq``, the other
    options are those of ``OpenAIModel``.
    """

    def __init__(
        self,
        *,
        model: str,
        max_tokens: int | None = None,
        temperature: float | None = None,
        **access: Unpack[Access],
    ) -> None:
        options: dict[str, Any] = {}
        if max_tokens is not None:
            options["max_completion_tokens"] = max_tokens
        if temperature is not None:
            options["temperature"] = temperature
        super().__init__(Groq(_SETTINGS, model=model, **access), options)

"""Models of Groq."""

from typing import Any

from talksy.ai.groq import Groq
from talksy.ai.llm.completions import CompletionsModel

_SETTINGS = {"key": "GROQ_API_KEY", "model": "GROQ_MODEL", "url": "GROQ_BASE_URL"}


class GroqModel(CompletionsModel):
    """A ``LanguageModel`` behind Groq's chat completions; the server is that of ``Groq``, the other
    options are those of ``OpenAIModel``.
    """

    def __init__(
        self,
        *,
        api_key: str,
        model: str,
        base_url: str | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
        connect_timeout: float = 5.0,
        read_timeout: float = 60.0,
    ) -> None:
        options: dict[str, Any] = {}
        if max_tokens is not None:
            options["max_completion_tokens"] = max_tokens
        if temperature is not None:
            options["temperature"] = temperature
        vendor = Groq(
            _SETTINGS,
            api_key=api_key,
            model=model,
            base_url=base_url,
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
        )
        super().__init__(vendor, options)

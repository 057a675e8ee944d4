"""Models of Groq."""

from typing import Any, ClassVar

import groq
import httpx

from talksy.ai.llm.completions import CompletionsModel

GROQ_URL = "https://api.groq.com"


class GroqModel(CompletionsModel):
    """A ``LanguageModel`` behind Groq's chat completions.

    ``base_url`` is without a path: the SDK adds ``/openai/v1``. The other options are those of
    ``OpenAIModel``.
    """

    provider = "groq"
    settings: ClassVar = {"key": "GROQ_API_KEY", "model": "GROQ_MODEL", "url": "GROQ_BASE_URL"}
    # What breaks off in mid-answer comes as the HTTP client tells it.
    faults = (groq.GroqError, httpx.HTTPError)
    timeouts = (groq.APITimeoutError, httpx.TimeoutException)

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
        timeout = groq.Timeout(read_timeout, connect=connect_timeout)
        client = groq.AsyncGroq(
            # Both are named even when empty: the SDK would look into the environment.
            api_key=api_key or "none",
            base_url=base_url or GROQ_URL,
            timeout=timeout,
            max_retries=0,
            # Where a server points to, nobody has agreed to send conversations.
            http_client=groq.DefaultAsyncHttpxClient(timeout=timeout, follow_redirects=False),
        )
        super().__init__(client, model, options)

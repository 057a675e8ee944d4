"""Models of OpenAI, and of every server that speaks its chat completions."""

from typing import Any, ClassVar
from urllib.parse import urlsplit

import httpx2
import openai

from talksy.ai.llm.completions import CompletionsModel

OPENAI_URL = "https://api.openai.com/v1"


class OpenAIModel(CompletionsModel):
    """A ``LanguageModel`` behind OpenAI's chat completions.

    ``base_url`` points at a compatible server, such as ``http://localhost:11434/v1``. Times are in
    seconds: ``connect_timeout`` to reach the server, ``read_timeout`` for the longest silence,
    before the first byte or after it.

    ``max_tokens`` goes out as ``max_completion_tokens`` to OpenAI and Azure, whose newest models
    take nothing else, and as ``max_tokens`` to everybody else, some of whom (Ollama) ignore the
    newer name without a word. ``temperature`` is left out unless it is set: reasoning models refuse
    any but their own. ``api_key`` may be empty for servers that ask for none.
    """

    provider = "openai"
    settings: ClassVar = {
        "key": "OPENAI_API_KEY",
        "model": "OPENAI_MODEL",
        "url": "OPENAI_BASE_URL",
    }
    # Its HTTP client's own errors come through when an answer that is an error breaks off.
    faults = (openai.OpenAIError, httpx2.HTTPError)
    timeouts = (openai.APITimeoutError, httpx2.TimeoutException)

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
        options: dict[str, Any] = {"stream_options": {"include_usage": True}}
        if max_tokens is not None:
            options[_limit_name(base_url or OPENAI_URL)] = max_tokens
        if temperature is not None:
            options["temperature"] = temperature
        timeout = openai.Timeout(read_timeout, connect=connect_timeout)
        client = openai.AsyncOpenAI(
            # Both are named even when empty: the SDK would look into the environment.
            api_key=api_key or "none",
            base_url=base_url or OPENAI_URL,
            timeout=timeout,
            max_retries=0,
            # Where a server points to, nobody has agreed to send conversations.
            http_client=openai.DefaultAsyncHttpxClient(timeout=timeout, follow_redirects=False),
        )
        # Azure answers to the names of deployments and lists those of models.
        super().__init__(client, model, options, lists_all=not _host(base_url, ".azure.com"))


def _limit_name(base_url: str) -> str:
    newest = _host(base_url, ".openai.com", ".azure.com")
    return "max_completion_tokens" if newest else "max_tokens"


def _host(base_url: str | None, *endings: str) -> bool:
    return (urlsplit(base_url or OPENAI_URL).hostname or "").endswith(endings)

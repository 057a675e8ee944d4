"""Groq."""

from collections.abc import Mapping

import groq
import httpx

from talksy.ai.vendor import Vendor

GROQ_URL = "https://api.groq.com"


class Groq(Vendor):
    """The client of Groq. ``base_url`` is without a path: the SDK adds ``/openai/v1``. The other
    options are those of ``OpenAI``.
    """

    name = "groq"
    # What breaks off in mid-answer comes as the HTTP client tells it.
    faults = (groq.GroqError, httpx.HTTPError)
    timeouts = (groq.APITimeoutError, httpx.TimeoutException)

    def __init__(
        self,
        settings: Mapping[str, str],
        *,
        api_key: str,
        model: str,
        base_url: str | None,
        connect_timeout: float,
        read_timeout: float,
    ) -> None:
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
        super().__init__(client, model, settings)

"""OpenAI, and every server that speaks its API."""

from collections.abc import Mapping
from typing import Unpack
from urllib.parse import urlsplit

import httpx2
import openai

from talksy.ai.vendor import Access, Vendor, client_options

OPENAI_URL = "https://api.openai.com/v1"


class OpenAI(Vendor):
    """The client of OpenAI. ``base_url`` points at a compatible server, such as
    ``http://localhost:11434/v1``. Times are in seconds: ``connect_timeout`` to reach the server,
    ``read_timeout`` for the longest silence, before the first byte or after it. ``api_key`` may be
    empty for servers that ask for none.
    """

    name = "openai"
    # Its HTTP client's own errors come through when an answer that is an error breaks off.
    faults = (openai.OpenAIError, httpx2.HTTPError)
    timeouts = (openai.APITimeoutError, httpx2.TimeoutException)

    def __init__(
        self, settings: Mapping[str, str], *, model: str, **access: Unpack[Access]
    ) -> None:
        client = openai.AsyncOpenAI(**client_options(openai, OPENAI_URL, **access))
        # Azure answers to the names of deployments and lists those of models.
        super().__init__(
            client, model, settings, lists_all=not hosted(access.get("base_url"), ".azure.com")
        )


def hosted(base_url: str | None, *endings: str) -> bool:
    """Whether the server's name ends in one of these; without a URL it is OpenAI's."""
    return (urlsplit(base_url or OPENAI_URL).hostname or "").endswith(endings)

"""Groq."""

from collections.abc import Mapping
from typing import Unpack

import groq
import httpx

from talksy.ai.vendor import Access, Vendor, client_options

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
        self, settings: Mapping[str, str], *, model: str, **access: Unpack[Access]
    ) -> None:
        client = groq.AsyncGroq(**client_options(groq, GROQ_URL, **access))
        super().__init__(client, model, settings)

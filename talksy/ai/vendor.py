"""A vendor behind its SDK: what fails of it is told in one way, whatever it was asked for.

Each request is made once. The SDKs' own retries are off: they sit out a ``Retry-After`` of up to
two minutes, and every time limit again, while somebody waits who is better told.
"""

import asyncio
import re
import socket
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Any, ClassVar, Required, TypedDict

import structlog

from talksy.errors import Cause, ProviderFault, ProviderTimeout, ProviderUnavailable

_log = structlog.get_logger(__name__)

_PING_TIMEOUT = 5.0

# What the SDKs let through when a server sends something else than the protocol: text that is not
# JSON, or JSON of another shape.
_BROKEN = (ValueError, TypeError, AttributeError)

_CAUSES: Mapping[int, Cause] = {
    400: "invalid",
    401: "auth",
    402: "auth",
    403: "invalid",  # so some refuse what was said, and that is no reason to rest from them
    404: "not_found",
    413: "invalid",
    422: "invalid",
    429: "rate_limited",
}
_SPENT = frozenset({"insufficient_quota", "billing_hard_limit_reached"})
"""Refusals with 429 that no waiting helps against."""
_GONE = frozenset({"model_decommissioned", "model_not_found"})
_HINTS: Mapping[int, str] = {
    400: "the request was refused: is the conversation too long for this model?",
    401: "check {key}",
    402: "the account has no credit left",
    403: "the key may not use this model, or what was said is refused",
    404: "check {model} and {url}: there is no such model, or the API is not at that address",
    413: "the request was refused: is the conversation too long for this model?",
    422: "the request was refused: is the conversation too long for this model?",
    429: "too many requests, or the account has no credit left",
    498: "the vendor has no capacity left in this tier",
}
_FOREIGN = "what answered does not speak the vendor's API: check {url}"
PAGE = "a web page answered instead of the API: check {url}"
_AWAY: Sequence[tuple[type[Exception], str]] = (
    (
        ssl.SSLCertVerificationError,
        "the server's certificate is not trusted: check {url} and the certificates of this machine",
    ),
    (ssl.SSLError, "the server does not speak TLS as it should: is it http:// in {url}?"),
    (socket.gaierror, "there is no such host: check {url} and the name servers of this machine"),
    (ConnectionRefusedError, "nothing listens there: check {url}"),
)
"""What may be at the bottom of a connection that failed, and what the operator can do."""


class Access(TypedDict, total=False):
    """How a vendor is reached. Times are in seconds."""

    api_key: Required[str]
    """May be empty for servers that ask for none."""
    base_url: str | None
    """Another server than the vendor's."""
    connect_timeout: float
    """To reach the server."""
    read_timeout: float
    """The longest silence, before the first byte or after it."""


def client_options(
    sdk: Any,
    url: str,
    *,
    api_key: str,
    base_url: str | None = None,
    connect_timeout: float = 5.0,
    read_timeout: float = 60.0,
) -> dict[str, Any]:
    """What the client of an SDK is made with, of an ``Access``; ``url`` is the vendor's server."""
    timeout = sdk.Timeout(read_timeout, connect=connect_timeout)
    return {
        # Both are named even when empty: the SDKs would look into the environment.
        "api_key": api_key or "none",
        "base_url": base_url or url,
        "timeout": timeout,
        "max_retries": 0,
        # Where a server points to, nobody has agreed to send conversations.
        "http_client": sdk.DefaultAsyncHttpxClient(timeout=timeout, follow_redirects=False),
    }


class Vendor:
    """A vendor's client. A subclass makes it, and names what its SDK raises."""

    name: ClassVar[str]
    faults: ClassVar[tuple[type[Exception], ...]]
    """All that the SDK and its HTTP client raise."""
    timeouts: ClassVar[tuple[type[Exception], ...]]

    def __init__(
        self, client: Any, model: str, settings: Mapping[str, str], *, lists_all: bool = True
    ) -> None:
        """``settings`` has the names of the settings ``key``, ``model`` and ``url``, for hints.
        ``lists_all``: the server's list of models has the names that it answers to.
        """
        self.client = client
        self.model = model
        self.settings = settings
        self.raises: tuple[type[Exception], ...] = (*self.faults, OSError, *_BROKEN)
        """What a request may fail of, to be given to ``failure``."""
        self._lists_all = lists_all
        self._timeouts: tuple[type[Exception], ...] = (*self.timeouts, TimeoutError)

    async def ping(self) -> None:
        """Lists the models, which costs nothing. Raises ``ProviderUnavailable`` or
        ``ProviderTimeout``, within 5 s, also where there is a list without this one.
        """
        try:
            async with asyncio.timeout(_PING_TIMEOUT):
                listed = [each.id for each in (await self.client.models.list()).data or ()]
        except self.raises as fault:
            raise self.failure(fault) from None
        # Some servers add a tag, as in ``llama3:latest``.
        known = {name for each in listed for name in (each, each.partition(":")[0])}
        if self._lists_all and known and self.model not in known:
            hint = f"the server lists no such model: check {self.settings['model']}"
            raise self.wrong("no_model", None, "not_found", hint)

    async def close(self) -> None:
        """Closes the connections. What streams on them is cut."""
        await self.client.close()

    def failure(
        self,
        fault: Exception,
        *,
        finished: bool = False,
        verdict: tuple[Cause, str] | None = None,
    ) -> ProviderFault:
        """What is told of ``fault``: little to the client, more to the operator, in the log.
        ``finished``: the answer was whole all the same. ``verdict`` goes before our own.

        The vendor's own text is left out of both: it may quote the key or what was said.
        """
        status = getattr(fault, "status_code", None)
        code = error_code(fault)
        cause, hint = verdict or self._diagnose(fault, status, code)
        _log.warning(
            "model_failed",
            provider=self.name,
            model=self.model,
            kind=type(fault).__name__,
            cause=type(fault.__cause__).__name__ if fault.__cause__ else None,
            status=status,
            code=code,
            hint=hint,
            finished=finished,
        )
        if cause == "timeout":
            return ProviderTimeout(hint=hint)
        response = getattr(fault, "response", None)
        retry_after = _retry_after(response.headers) if response is not None else None
        return ProviderUnavailable(cause=cause, hint=hint, retry_after=retry_after)

    def wrong(
        self, kind: str, message: str | None, cause: Cause, hint: str | None
    ) -> ProviderUnavailable:
        """A failure that no exception told of."""
        _log.warning("model_failed", provider=self.name, model=self.model, kind=kind, hint=hint)
        return ProviderUnavailable(message, cause=cause, hint=hint)

    def _diagnose(
        self, fault: Exception, status: int | None, code: str | None
    ) -> tuple[Cause, str | None]:
        """Why it failed, and what the operator can do about it."""
        if status is not None:
            if code in _GONE:
                status = 404
            cause = "auth" if code in _SPENT else _cause(status)
            return cause, self._hint(fault, status)
        if isinstance(fault, self._timeouts):
            return "timeout", "the server did not answer in time"
        for below in _chain(fault):
            for kind, hint in _AWAY:
                if isinstance(below, kind):
                    cause = "broken" if issubclass(kind, ssl.SSLError) else "unavailable"
                    return cause, hint.format_map(self.settings)
        if isinstance(fault, _BROKEN):
            return "broken", _FOREIGN.format_map(self.settings)
        return "unavailable", None

    def _hint(self, fault: Any, status: int) -> str | None:
        if status < 400:
            return f"the server redirects: set {self.settings['url']} to where it leads"
        hint = _HINTS.get(status)
        if "html" in fault.response.headers.get("content-type", ""):
            hint = PAGE if status < 500 else "a proxy answered in the vendor's place"
        return hint.format_map(self.settings) if hint else None


def error_code(fault: Any) -> str | None:
    """The vendor's name of its error, where it is a name."""
    code = error_body(fault).get("code")
    return code if re.fullmatch(r"[a-z0-9_]{1,64}", str(code)) else None


def error_body(fault: Any) -> Mapping[str, Any]:
    """The vendor's error object. One SDK gives it alone, the other what it came in."""
    body = getattr(fault, "body", None)
    inner = body.get("error", body) if isinstance(body, dict) else None
    return inner if isinstance(inner, dict) else {}


def _cause(status: int) -> Cause:
    return "broken" if status < 400 else _CAUSES.get(status, "unavailable")


def _chain(fault: BaseException) -> Iterator[BaseException]:
    """An exception, then what it came from."""
    seen: set[int] = set()
    below: BaseException | None = fault
    while below is not None and id(below) not in seen:
        seen.add(id(below))
        yield below
        below = below.__cause__ or below.__context__


def _retry_after(headers: Any) -> float | None:
    """Seconds of a ``Retry-After``, which is a number or a date (RFC 9110, 10.2.3)."""
    value = headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d{1,9}(\.\d+)?", value):
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None

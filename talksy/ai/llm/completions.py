"""Chat completions, the wire that OpenAI and Groq share, and many servers with them.

Compatible servers differ, and what they leave out is not missed: usage, roles, ``[DONE]``. An
answer is whole once it said why it finished, or sent the usage that only comes at the end; one that
stops before has ended early, which is a fault.

Where a server refuses the tools it is offered, nobody asks again without them: what a tool knows
would be made up instead. The next provider may take them, and the log says what to put right.

Each request is made once. The SDKs' own retries are off: they sit out a ``Retry-After`` of up to
two minutes, and every time limit again, while somebody waits who is better told.
"""

import asyncio
import re
import socket
import ssl
import time
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, ClassVar

import structlog

from talksy.ai.llm.base import Delta, Part, ToolSpec, Used, Working
from talksy.ai.llm.calls import Calls, offered, worded
from talksy.errors import Cause, ProviderFault, ProviderTimeout, ProviderUnavailable
from talksy.messages import Prompt, Usage

_log = structlog.get_logger(__name__)

_PING_TIMEOUT = 5.0
_TAIL_TIMEOUT = 2.0
"""Seconds for the usage and ``[DONE]`` after the answer finished: nobody waits longer for them."""

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
_CHOOSY = frozenset({400, 404, 422, 500, 501})
"""What servers answer to tools for a model that can use none."""
_GARBLED = "tool_use_failed"
_GARBLING = "the model wrote a call of a tool in a form that its vendor cannot read"
_TOOLLESS = (
    "the tools it was offered were refused: can the model of {model} use tools, and if it can, "
    "does it take the schema of each (`talksy tools`)?"
)
_UNFIT = "The model asked for tools in a broken form."
_FOREIGN = "what answered does not speak the vendor's API: check {url}"
_PAGE = "a web page answered instead of the API: check {url}"
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


class CompletionsModel:
    """A ``LanguageModel`` over an SDK's client, for a class each vendor.

    A subclass names the vendor, the settings that its hints speak of, and what its SDK raises
    beside that; it gives the client and what each request has beside the conversation.
    """

    provider: ClassVar[str]
    settings: ClassVar[Mapping[str, str]]
    """The names of the settings ``key``, ``model`` and ``url``."""
    faults: ClassVar[tuple[type[Exception], ...]]
    """All that the SDK and its HTTP client raise."""
    timeouts: ClassVar[tuple[type[Exception], ...]]

    def __init__(
        self, client: Any, model: str, options: Mapping[str, Any], *, lists_all: bool = True
    ) -> None:
        """``lists_all``: the server's list of models has the names that it answers to."""
        self.model = model
        self._lists_all = lists_all
        self._client = client
        self._options = options
        self._faults: tuple[type[Exception], ...] = (*self.faults, OSError, *_BROKEN)
        self._timeouts: tuple[type[Exception], ...] = (*self.timeouts, TimeoutError)

    async def stream(
        self, messages: Sequence[Prompt], tools: Sequence[ToolSpec] = ()
    ) -> AsyncGenerator[Part]:
        """As ``LanguageModel.stream``. Closing the generator closes the HTTP response."""
        answer = _Answer()
        page = False
        try:
            request = self._request(messages, tools)
            async with await self._client.chat.completions.create(stream=True, **request) as chunks:
                page = "html" in chunks.response.headers.get("content-type", "")
                while (chunk := await _next(chunks, tail=answer.finished)) is not None:
                    if text := answer.read(chunk):
                        yield Delta(text)
                    elif answer.stirred:
                        yield Working()
                    if answer.stirred and answer.calls.excessive:
                        raise self._wrong("too_many_calls", _UNFIT, "broken", None)
        except self._faults as fault:
            failure = self._failure(fault, finished=answer.finished, tools=bool(tools))
            if not answer.finished:
                raise failure from None
        if not answer.finished:
            hint = _PAGE.format_map(self.settings) if page else None
            message = "The model's answer ended early: try again."
            raise self._wrong("ended_early", message, "broken", hint)
        calls = answer.calls.whole(cut=answer.cut)
        if not all(call.name for call in calls):
            raise self._wrong("nameless_call", _UNFIT, "broken", None)
        for call in calls:
            yield call
        if answer.usage is not None:
            yield Used(answer.usage)

    async def ping(self) -> None:
        """Lists the models, which costs no tokens. Raises as ``stream`` does, within 5 s, and where
        there is a list without this one.
        """
        try:
            async with asyncio.timeout(_PING_TIMEOUT):
                listed = [each.id for each in (await self._client.models.list()).data or ()]
        except self._faults as fault:
            raise self._failure(fault) from None
        # Some servers add a tag, as in ``llama3:latest``.
        known = {name for each in listed for name in (each, each.partition(":")[0])}
        if self._lists_all and known and self.model not in known:
            hint = f"the server lists no such model: check {self.settings['model']}"
            raise self._wrong("no_model", None, "not_found", hint)

    async def close(self) -> None:
        """Closes the connections. Streams of it are cut."""
        await self._client.close()

    def _request(self, messages: Sequence[Prompt], tools: Sequence[ToolSpec]) -> dict[str, Any]:
        request: dict[str, Any] = {
            "model": self.model,
            "messages": [worded(each) for each in messages],
            **self._options,
        }
        if tools:
            request["tools"] = [offered(tool) for tool in tools]
        return request

    def _failure(
        self, fault: Exception, *, finished: bool = False, tools: bool = False
    ) -> ProviderFault:
        """What is told of ``fault``: little to the client, more to the operator, in the log.
        ``tools``: some were offered.

        The vendor's own text is left out of both: it may quote the key or what was said.
        """
        status = getattr(fault, "status_code", None)
        code = _code(fault)
        cause, hint = self._diagnose(fault, status, code)
        if code == _GARBLED or (tools and _about_tools(fault, status)):
            # That tells nothing of questions with other tools, or with none.
            cause = "invalid"
            hint = _GARBLING if code == _GARBLED else _TOOLLESS.format_map(self.settings)
        _log.warning(
            "model_failed",
            provider=self.provider,
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
            hint = _PAGE if status < 500 else "a proxy answered in the vendor's place"
        return hint.format_map(self.settings) if hint else None

    def _wrong(
        self, kind: str, message: str | None, cause: Cause, hint: str | None
    ) -> ProviderUnavailable:
        """A failure that no exception told of."""
        _log.warning("model_failed", provider=self.provider, model=self.model, kind=kind, hint=hint)
        return ProviderUnavailable(message, cause=cause, hint=hint)


@dataclass(slots=True)
class _Answer:
    """What is gathered of an answer beside its text."""

    finished: bool = False
    stirred: bool = False
    """The last chunk had a thought or a piece of a call in it."""
    usage: Usage | None = None
    calls: Calls = field(default_factory=Calls)
    cut: bool = False
    """It had become too long for the vendor."""

    def read(self, chunk: Any) -> str:
        """Takes a chunk in and returns the text in it, which may be empty."""
        usage = self._cost(chunk)
        self.stirred = False
        if not chunk.choices:
            self.finished |= usage
            return ""
        choice = chunk.choices[0]
        text = self._take(choice.delta) if choice.delta else ""
        # Last, so that a fault in the final chunk is not taken for one after the answer.
        self.finished |= choice.finish_reason is not None
        self.cut |= choice.finish_reason == "length"
        return text

    def _cost(self, chunk: Any) -> bool:
        """Whether the chunk tells what the answer cost: Groq has it in a place of its own."""
        own = getattr(chunk, "x_groq", None)
        if getattr(own, "error", None):
            raise ValueError("the vendor stopped the answer")
        usage = chunk.usage or getattr(own, "usage", None)
        if usage:
            self.usage = Usage(usage.prompt_tokens or 0, usage.completion_tokens or 0)
        return usage is not None

    def _take(self, delta: Any) -> str:
        thought = getattr(delta, "reasoning", None) or getattr(delta, "reasoning_content", None)
        self.stirred = bool(thought or delta.tool_calls)
        for piece in delta.tool_calls or ():
            self.calls.add(piece)
        text = delta.content or getattr(delta, "refusal", None) or ""
        if not isinstance(text, str):
            raise TypeError("content is not text")
        return text


async def _next(chunks: Any, *, tail: bool) -> Any:
    async with asyncio.timeout(_TAIL_TIMEOUT if tail else None):
        return await anext(chunks, None)


def _cause(status: int) -> Cause:
    return "broken" if status < 400 else _CAUSES.get(status, "unavailable")


def _code(fault: Any) -> str | None:
    """The vendor's name of its error, where it is a name."""
    code = _error(fault).get("code")
    return code if re.fullmatch(r"[a-z0-9_]{1,64}", str(code)) else None


def _error(fault: Any) -> Mapping[str, Any]:
    """The vendor's error object. One SDK gives it alone, the other what it came in."""
    body = getattr(fault, "body", None)
    inner = body.get("error", body) if isinstance(body, dict) else None
    return inner if isinstance(inner, dict) else {}


def _about_tools(fault: Any, status: int | None) -> bool:
    """Whether a vendor refuses the tools that it was offered; there is no common code for that."""
    error = _error(fault)
    said = f"{error.get('message')} {error.get('param')}"
    return status in _CHOOSY and re.search(r"\btools?\b", said, re.IGNORECASE) is not None


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

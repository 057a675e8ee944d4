"""Models of OpenAI, and of every server that speaks its chat completions.

Compatible servers differ, and what they leave out is not missed: usage, roles, a call's id or
index, ``[DONE]``. An answer is whole once it said why it finished, or sent the usage that only
comes at the end; one that stops before has ended early, which is a fault.

Asked twice at most: a connection that broke before the answer began, or a 5xx, is tried once more
after 250 ms. The SDK's own retries are off: they sit out a ``Retry-After`` of up to two minutes,
and every time limit again, while somebody waits who is better told. Once an answer has begun
nothing is asked again, since two answers cannot be spliced.
"""

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import httpx2
import openai
import orjson
import structlog

from talksy.ai.llm.base import Delta, Part, ToolCall, ToolSpec, Used
from talksy.errors import ProviderTimeout, ProviderUnavailable
from talksy.ids import new_id
from talksy.messages import Prompt, Usage

_log = structlog.get_logger(__name__)

OPENAI_URL = "https://api.openai.com/v1"

_PING_TIMEOUT = 5.0
_RETRY_PAUSE = 0.25
_TAIL_TIMEOUT = 2.0
"""Seconds for the usage and ``[DONE]`` after the answer finished: nobody waits longer for them."""

_HINTS = {
    400: "the request was refused: is the conversation too long for this model?",
    401: "check OPENAI_API_KEY",
    403: "the key may not use this model",
    404: "check OPENAI_MODEL and OPENAI_BASE_URL",
    429: "too many requests, or the account has no credit left",
}

# What the SDK lets through when a server sends something else than the protocol: text that is not
# JSON, or JSON of another shape. It also lets its HTTP client's own errors through when an answer
# that is an error breaks off.
_BROKEN = (ValueError, TypeError, AttributeError)
_FAULTS = (openai.OpenAIError, httpx2.HTTPError, OSError, *_BROKEN)
_TIMEOUTS = (openai.APITimeoutError, httpx2.TimeoutException, TimeoutError)

_Chunks = openai.AsyncStream[Any]
"""The SDK checks no chunk against its own types, which promise more than many servers send."""


class OpenAIModel:
    """A ``LanguageModel`` behind OpenAI's chat completions.

    ``base_url`` points at a compatible server, such as ``http://localhost:11434/v1``. Times are in
    seconds: ``connect_timeout`` to reach the server, ``read_timeout`` for the longest silence,
    before the first byte or after it.

    ``max_tokens`` goes out as ``max_completion_tokens`` to OpenAI and Azure, whose newest models
    take nothing else, and as ``max_tokens`` to everybody else, some of whom (Ollama) ignore the
    newer name without a word. ``temperature`` is left out unless it is set: reasoning models refuse
    any but their own. ``api_key`` may be empty for servers
    that ask for none.
    """

    provider = "openai"

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
        self.model = model
        self._options: dict[str, Any] = {}
        if max_tokens is not None:
            self._options[_limit_name(base_url or OPENAI_URL)] = max_tokens
        if temperature is not None:
            self._options["temperature"] = temperature
        self._client = openai.AsyncOpenAI(
            # Both are named even when empty: the SDK would look into the environment.
            api_key=api_key or "none",
            base_url=base_url or OPENAI_URL,
            timeout=openai.Timeout(read_timeout, connect=connect_timeout),
            max_retries=0,
        )

    async def stream(
        self, messages: Sequence[Prompt], tools: Sequence[ToolSpec] = ()
    ) -> AsyncGenerator[Part]:
        """As ``LanguageModel.stream``. Closing the generator closes the HTTP response."""
        answer = _Answer()
        try:
            async with await self._open(self._request(messages, tools)) as chunks:
                while (chunk := await _next(chunks, tail=answer.finished)) is not None:
                    if text := answer.read(chunk):
                        yield Delta(text)
        except _FAULTS as fault:
            failure = self._failure(fault, finished=answer.finished)
            if not answer.finished:
                raise failure from None
        if not answer.finished:
            raise self._broken("ended_early", "The model's answer ended early: try again.")
        for call in answer.calls:
            yield self._complete(call)
        if answer.usage is not None:
            yield Used(answer.usage)

    async def ping(self) -> None:
        """Lists the models, which costs no tokens. Raises as ``stream`` does, within 5 s."""
        try:
            async with asyncio.timeout(_PING_TIMEOUT):
                await self._client.models.list()
        except _FAULTS as fault:
            raise self._failure(fault) from None

    async def close(self) -> None:
        """Closes the connections. Streams of it are cut."""
        await self._client.close()

    def _request(self, messages: Sequence[Prompt], tools: Sequence[ToolSpec]) -> dict[str, Any]:
        request: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": each.role, "content": each.content} for each in messages],
            "stream_options": {"include_usage": True},
            **self._options,
        }
        if tools:
            request["tools"] = [
                {
                    "type": "function",
                    "function": {
                        "name": tool.name,
                        "description": tool.description,
                        "parameters": tool.parameters,
                    },
                }
                for tool in tools
            ]
        return request

    async def _open(self, request: dict[str, Any]) -> _Chunks:
        try:
            return await self._send(request)
        except openai.APIError as fault:
            if not _passing(fault):
                raise
            self._note(fault, retried=True)
        await asyncio.sleep(_RETRY_PAUSE)
        return await self._send(request)

    async def _send(self, request: dict[str, Any]) -> _Chunks:
        chunks: _Chunks = await self._client.chat.completions.create(stream=True, **request)
        return chunks

    def _complete(self, call: "_Call") -> ToolCall:
        try:
            arguments = orjson.loads(call.arguments or "{}")
        except ValueError:
            arguments = None
        named = call.name and isinstance(call.name, str)
        if not named or not isinstance(arguments, dict):
            raise self._broken("broken_call", "The model asked for a tool in a broken form.")
        return ToolCall(call.id or new_id("call"), call.name, arguments)

    def _failure(
        self, fault: Exception, *, finished: bool = False
    ) -> ProviderTimeout | ProviderUnavailable:
        """What a client is told of ``fault``; the operator reads more in the log."""
        self._note(fault, finished=finished)
        if isinstance(fault, _TIMEOUTS):
            return ProviderTimeout()
        if isinstance(fault, openai.APIStatusError):
            return ProviderUnavailable(retry_after=_retry_after(fault.response.headers))
        return ProviderUnavailable()

    def _broken(self, kind: str, message: str) -> ProviderUnavailable:
        _log.warning("model_failed", provider=self.provider, model=self.model, kind=kind)
        return ProviderUnavailable(message)

    def _note(self, fault: Exception, **more: bool) -> None:
        """One line for the operator. The vendor's own text is left out: it may quote the key or
        what was said."""
        status = getattr(fault, "status_code", None)
        code = getattr(fault, "code", None)
        _log.warning(
            "model_failed",
            provider=self.provider,
            model=self.model,
            kind=type(fault).__name__,
            cause=type(fault.__cause__).__name__ if fault.__cause__ else None,
            status=status,
            code=code if re.fullmatch(r"[a-z0-9_]{1,64}", str(code)) else None,
            hint=_HINTS.get(status) if status else None,
            **more,
        )


@dataclass(slots=True)
class _Call:
    """A tool call as far as it has come; its arguments arrive as pieces of JSON text."""

    id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass(slots=True)
class _Answer:
    """What is gathered of an answer beside its text."""

    finished: bool = False
    usage: Usage | None = None
    calls: list[_Call] = field(default_factory=list)
    _by_index: dict[int, _Call] = field(default_factory=dict)

    def read(self, chunk: Any) -> str:
        """Takes a chunk in and returns the text in it, which may be empty."""
        if chunk.usage:
            self.usage = Usage(chunk.usage.prompt_tokens or 0, chunk.usage.completion_tokens or 0)
        if not chunk.choices:
            self.finished |= chunk.usage is not None
            return ""
        choice = chunk.choices[0]
        text = self._take(choice.delta) if choice.delta else ""
        # Last, so that a fault in the final chunk is not taken for one after the answer.
        self.finished |= choice.finish_reason is not None
        return text

    def _take(self, delta: Any) -> str:
        for piece in delta.tool_calls or ():
            self._gather(piece)
        text = delta.content or delta.refusal or ""
        if not isinstance(text, str):
            raise TypeError("content is not text")
        return text

    def _gather(self, piece: Any) -> None:
        call = self._call(piece)
        call.id = piece.id or call.id
        if piece.function:
            call.name = piece.function.name or call.name
            call.arguments += piece.function.arguments or ""

    def _call(self, piece: Any) -> _Call:
        """The call a piece belongs to. Servers that leave the index out begin a call with an id."""
        if piece.index is not None and piece.index in self._by_index:
            return self._by_index[piece.index]
        if piece.index is None and not piece.id and self.calls:
            return self.calls[-1]
        call = _Call()
        self.calls.append(call)
        if piece.index is not None:
            self._by_index[piece.index] = call
        return call


async def _next(chunks: _Chunks, *, tail: bool) -> Any:
    async with asyncio.timeout(_TAIL_TIMEOUT if tail else None):
        return await anext(chunks, None)


def _limit_name(base_url: str) -> str:
    host = urlsplit(base_url).hostname or ""
    newest = host.endswith((".openai.com", ".azure.com"))
    return "max_completion_tokens" if newest else "max_tokens"


def _passing(fault: openai.APIError) -> bool:
    """Whether the same request may well succeed in a moment."""
    if isinstance(fault, openai.APIStatusError):
        return fault.status_code >= 500 and _retry_after(fault.response.headers) is None
    return isinstance(fault, openai.APIConnectionError) and not isinstance(
        fault, openai.APITimeoutError
    )


def _retry_after(headers: Any) -> float | None:
    """Seconds of a ``Retry-After``, which is a number or a date (RFC 9110, 10.2.3)."""
    value = headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d{1,9}(\.\d+)?", value):
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None

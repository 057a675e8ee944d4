"""Chat completions, the wire that OpenAI and Groq share, and many servers with them.

Compatible servers differ, and what they leave out is not missed: usage, roles, ``[DONE]``. An
answer is whole once it said why it finished, or sent the usage that only comes at the end; one that
stops before has ended early, which is a fault.

Where a server refuses the tools it is offered, nobody asks again without them: what a tool knows
would be made up instead. The next provider may take them, and the log says what to put right.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from talksy.ai.llm.base import Delta, Part, ToolSpec, Used, Working
from talksy.ai.llm.calls import Calls, offered, worded
from talksy.ai.vendor import PAGE, Vendor, error_body, error_code
from talksy.errors import Cause, ProviderFault
from talksy.messages import Prompt, Usage

_TAIL_TIMEOUT = 2.0
"""Seconds for the usage and ``[DONE]`` after the answer finished: nobody waits longer for them."""

_CHOOSY = frozenset({400, 404, 422, 500, 501})
"""What servers answer to tools for a model that can use none."""
_GARBLED = "tool_use_failed"
_GARBLING = "the model wrote a call of a tool in a form that its vendor cannot read"
_TOOLLESS = (
    "the tools it was offered were refused: can the model of {model} use tools, and if it can, "
    "does it take the schema of each (`talksy tools`)?"
)
_UNFIT = "The model asked for tools in a broken form."


class CompletionsModel:
    """A ``LanguageModel`` of a vendor that has chat completions; ``options`` is what each request
    has beside the conversation.
    """

    def __init__(self, vendor: Vendor, options: Mapping[str, Any]) -> None:
        self.provider = vendor.name
        self.model = vendor.model
        self._vendor = vendor
        self._client = vendor.client
        self._options = options

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
                        raise self._vendor.wrong("too_many_calls", _UNFIT, "broken", None)
        except self._vendor.raises as fault:
            failure = self._failure(fault, finished=answer.finished, tools=bool(tools))
            if not answer.finished:
                raise failure from None
        if not answer.finished:
            hint = PAGE.format_map(self._vendor.settings) if page else None
            message = "The model's answer ended early: try again."
            raise self._vendor.wrong("ended_early", message, "broken", hint)
        calls = answer.calls.whole(cut=answer.cut)
        if not all(call.name for call in calls):
            raise self._vendor.wrong("nameless_call", _UNFIT, "broken", None)
        for call in calls:
            yield call
        if answer.usage is not None:
            yield Used(answer.usage)

    async def ping(self) -> None:
        """As ``Vendor.ping``."""
        await self._vendor.ping()

    async def close(self) -> None:
        """Closes the connections. Streams of it are cut."""
        await self._vendor.close()

    def _request(self, messages: Sequence[Prompt], tools: Sequence[ToolSpec]) -> dict[str, Any]:
        request: dict[str, Any] = {
            "model": self.model,
            "messages": [worded(each) for each in messages],
            **self._options,
        }
        if tools:
            request["tools"] = [offered(tool) for tool in tools]
        return request

    def _failure(self, fault: Exception, *, finished: bool, tools: bool) -> ProviderFault:
        """As ``Vendor.failure``. ``tools``: some were offered."""
        garbled = error_code(fault) == _GARBLED
        verdict: tuple[Cause, str] | None = None
        if garbled or (tools and _about_tools(fault)):
            # That tells nothing of questions with other tools, or with none.
            hint = _GARBLING if garbled else _TOOLLESS.format_map(self._vendor.settings)
            verdict = "invalid", hint
        return self._vendor.failure(fault, finished=finished, verdict=verdict)


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


def _about_tools(fault: Any) -> bool:
    """Whether a vendor refuses the tools that it was offered; there is no common code for that."""
    error, status = error_body(fault), getattr(fault, "status_code", None)
    said = f"{error.get('message')} {error.get('param')}"
    return status in _CHOOSY and re.search(r"\btools?\b", said, re.IGNORECASE) is not None

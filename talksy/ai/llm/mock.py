"""The model that needs no vendor: deterministic, with any course of a turn on demand.

It answers with the replies of ``replies`` word by word, and follows the directive of
``directive`` where directives are on. What it writes depends on the newest message alone.
"""

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Generator, Iterable, Sequence
from types import coroutine

from talksy.ai.llm.base import Delta, Part, ToolCall, ToolSpec, Used
from talksy.ai.llm.directive import Directive, DirectiveError, parse
from talksy.ai.llm.replies import reply
from talksy.errors import ProviderUnavailable
from talksy.ids import new_id
from talksy.messages import Prompt, Usage

_BREATH = 64
"""At full speed nothing in a stream waits, so 100,000 tokens would hold the event loop for as long
as they take to read; after this many others get their turn."""
_LONGEST_WAIT = 60.0
"""Seconds until an answer begins that is to begin at a certain moment."""


class MockModel:
    """A ``LanguageModel`` without a vendor.

    ``delay_ms`` is the wait between two deltas, 0 for full speed; each is due so long after the one
    before was due, so that a loop that is late is not forgiven. With ``directives`` a newest
    message of the user's that begins with ``/mock`` is followed as ``directive`` describes; once
    anything follows that message, such as a tool's result, it is not followed again. A directive
    that cannot be read is answered with what is wrong with it.

    ``Used`` counts the words of all prompts as input and the deltas as output. A ``ToolCall`` has a
    random id and need not be among the ``tools`` of the call; all else is the same every time.
    """

    provider = "mock"

    def __init__(self, *, model: str = "mock", delay_ms: int = 0, directives: bool = False) -> None:
        self.model = model
        self._delay_ms = delay_ms
        self._directives = directives

    async def stream(
        self,
        messages: Sequence[Prompt],
        tools: Sequence[ToolSpec] = (),  # noqa: ARG002 (it asks for what the directive names)
    ) -> AsyncGenerator[Part]:
        """As ``LanguageModel.stream``: ``ProviderUnavailable`` only where a directive says so."""
        directive, texts = self._plan(messages)
        delay_ms = self._delay_ms if directive.delay_ms is None else directive.delay_ms
        burst = directive.burst or (1 if delay_ms else _BREATH)
        clock = asyncio.get_running_loop().time
        if directive.at_ms:
            await asyncio.sleep(min(directive.at_ms / 1000 - time.time(), _LONGEST_WAIT))
        due, written = clock(), 0
        halts = {directive.fail_after, directive.hang_after}
        for text in texts:
            if written in halts:
                await _halt(directive, written)
            if written and written % burst == 0:
                if delay_ms:
                    due += delay_ms / 1000
                    await asyncio.sleep(due - clock())
                else:
                    await _breath()
            yield Delta(text)
            written += 1
        await _halt(directive, written)
        if directive.tool is not None:
            yield ToolCall(new_id("call"), directive.tool, directive.arguments)
        words = sum(len(prompt.content.split()) for prompt in messages)
        yield Used(Usage(input_tokens=words, output_tokens=written))

    async def ping(self) -> None:
        """Returns at once: there is no vendor to reach."""

    async def close(self) -> None:
        """Holds nothing."""

    def _plan(self, messages: Sequence[Prompt]) -> tuple[Directive, Iterable[str]]:
        newest = messages[-1] if messages else Prompt("user", "")
        try:
            if self._directives and newest.role == "user" and (found := parse(newest.content)):
                return found, found.texts()
            answer = reply(newest.content)
        except DirectiveError as error:
            answer = str(error)
        words = re.findall(r"\S+\s*", answer)
        return Directive(tokens=len(words)), words


@coroutine
def _breath() -> Generator[None]:
    """Lets others have their turn; ``asyncio.sleep(0)`` in a third of the time."""
    yield


async def _halt(directive: Directive, written: int) -> None:
    if directive.fail_after == written:
        # Who rehearses a failure must not shut the model for everybody else.
        raise ProviderUnavailable(cause="invalid")
    if directive.hang_after == written:
        await asyncio.Event().wait()

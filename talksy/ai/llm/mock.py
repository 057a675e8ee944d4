"""The model that needs no vendor: deterministic, with any course of a turn on demand.

It answers with the replies of ``replies`` word by word, asks for the tools that ``wishes`` hears a
wish for, and follows the directive of ``directive`` where directives are on. What it writes depends
on the user's newest message, on what was asked for since and on the tools that there are.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Generator, Sequence
from types import coroutine

from talksy.ai.llm.base import Delta, Part, ToolSpec, Used
from talksy.ai.llm.directive import Directive
from talksy.ai.llm.scene import stage
from talksy.errors import ProviderUnavailable
from talksy.messages import Prompt, Usage
from talksy.wheel import Wheel

_BREATH = 64
"""At full speed nothing in a stream waits, so 100,000 tokens would hold the event loop for as long
as they take to read; after this many others get their turn."""
_GRAIN_SECONDS = 0.005
"""So late a token may be. What is due within it comes together: a thousand answers that each wake
the node by themselves cost it more than their words do."""
_LONGEST_WAIT = 60.0
"""Seconds until an answer begins that is to begin at a certain moment."""


class MockModel:
    """A ``LanguageModel`` without a vendor.

    ``delay_ms`` is the wait between two deltas, 0 for full speed; each is due so long after the one
    before was due, so that a loop that is late is not forgiven, and comes up to 5 ms later. With
    ``directives`` a newest message of the user's that begins with ``/mock`` is followed as
    ``directive`` describes; once anything but calls and their results follows that message, it is
    not followed again. A directive that cannot be read is answered with what is wrong with it.

    ``Used`` counts the words of all prompts as input and the deltas as output. A ``ToolCall`` has a
    random id, and one that a directive names need not be among the ``tools``; all else is the same
    every time.
    """

    provider = "mock"

    def __init__(self, *, model: str = "mock", delay_ms: int = 0, directives: bool = False) -> None:
        self.model = model
        self._delay_ms = delay_ms
        self._directives = directives
        self._wheel = Wheel(_GRAIN_SECONDS)

    async def stream(
        self, messages: Sequence[Prompt], tools: Sequence[ToolSpec] = ()
    ) -> AsyncGenerator[Part]:
        """As ``LanguageModel.stream``: ``ProviderUnavailable`` only where a directive says so."""
        scene = stage(messages, tools, directives=self._directives)
        directive = scene.course
        delay_ms = self._delay_ms if directive.delay_ms is None else directive.delay_ms
        burst = directive.burst or (1 if delay_ms else _BREATH)
        clock = asyncio.get_running_loop().time
        if directive.at_ms:
            await asyncio.sleep(min(directive.at_ms / 1000 - time.time(), _LONGEST_WAIT))
        due, written = clock(), 0
        halts = {directive.fail_after, directive.hang_after}
        for text in scene.texts:
            if written in halts and written <= directive.tokens:
                await _halt(directive, written)
            if written and written % burst == 0:
                due += delay_ms / 1000
                if (wait := due - clock()) > 0:
                    await self._wheel.sleep(wait)
                else:
                    await _breath()
            yield Delta(text)
            written += 1
        if written == directive.tokens:
            await _halt(directive, written)
        for call in scene.calls:
            yield call
        words = sum(len(prompt.content.split()) for prompt in messages)
        yield Used(Usage(input_tokens=words, output_tokens=written))

    async def ping(self) -> None:
        """Returns at once: there is no vendor to reach."""

    async def close(self) -> None:
        """Holds nothing."""


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

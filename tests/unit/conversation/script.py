"""A model whose every step is written down beforehand."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from talksy.ai.llm import Delta, Part, ToolSpec
from talksy.messages import Prompt

Step = str | Part | BaseException | asyncio.Event | None
"""Text and parts are given, exceptions raised, events waited for; None is a turn of the loop."""


class Script:
    """A ``LanguageModel`` that follows ``steps``, the same in every stream."""

    provider = "script"
    model = "script-1"

    def __init__(self, *steps: Step, farewell: Exception | None = None) -> None:
        """``farewell`` is raised when a stream is closed before its end."""
        self._steps = steps
        self._farewell = farewell
        self.asked: list[Sequence[Prompt]] = []
        self.offered: list[list[str]] = []
        self.open = 0
        """Streams that were begun and not closed."""
        self.idle = asyncio.Event()
        """Set when a stream waits."""

    async def stream(
        self,
        messages: Sequence[Prompt],
        tools: Sequence[ToolSpec] = (),
    ) -> AsyncGenerator[Part]:
        self.asked.append(messages)
        self.offered.append([tool.name for tool in tools])
        self.open += 1
        try:
            for step in self._steps:
                match step:
                    case str():
                        yield Delta(step)
                    case BaseException():
                        raise step
                    case asyncio.Event():
                        self.idle.set()
                        await step.wait()
                    case None:
                        await asyncio.sleep(0)
                    case _:
                        yield step
        except (asyncio.CancelledError, GeneratorExit):
            if self._farewell is not None:
                raise self._farewell from None
            raise
        finally:
            self.open -= 1

    async def ping(self) -> None:
        """Answers at once."""

    async def close(self) -> None:
        """Holds nothing."""


class Rounds(Script):
    """A ``Script`` for each time that it is asked; the last one for all times after."""

    def __init__(self, *rounds: Sequence[Step]) -> None:
        super().__init__()
        self._rounds = rounds

    async def stream(
        self, messages: Sequence[Prompt], tools: Sequence[ToolSpec] = ()
    ) -> AsyncGenerator[Part]:
        self._steps = tuple(self._rounds[min(len(self.asked), len(self._rounds) - 1)])
        async with aclosing(super().stream(messages, tools)) as parts:
            async for part in parts:
                yield part

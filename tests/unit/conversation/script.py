"""A model whose every step is written down beforehand."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

from talksy.ai.llm import Delta, Part, ToolSpec
from talksy.messages import Prompt

Step = str | Part | BaseException | asyncio.Event
"""Text and parts are given, exceptions raised, events waited for."""


class Script:
    """A ``LanguageModel`` that follows ``steps``, the same in every stream."""

    provider = "script"
    model = "script-1"

    def __init__(self, *steps: Step, farewell: Exception | None = None) -> None:
        """``farewell`` is raised when a stream is closed before its end."""
        self._steps = steps
        self._farewell = farewell
        self.asked: list[Sequence[Prompt]] = []
        self.open = 0
        """Streams that were begun and not closed."""
        self.idle = asyncio.Event()
        """Set when a stream waits."""

    async def stream(
        self,
        messages: Sequence[Prompt],
        tools: Sequence[ToolSpec] = (),  # noqa: ARG002
    ) -> AsyncGenerator[Part]:
        self.asked.append(messages)
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

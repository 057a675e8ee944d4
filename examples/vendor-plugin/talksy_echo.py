"""A model for Talksy that repeats what was said: the skeleton of one for a real vendor.

A model is a class with what ``talksy.ai.llm.LanguageModel`` asks for. Nothing is inherited.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Sequence

from talksy.ai.llm import Delta, Part, ToolSpec, Used
from talksy.errors import ProviderUnavailable
from talksy.messages import Prompt, Usage


class EchoModel:
    """Answers with the newest message, word by word.

    ``model`` is what follows the colon in ``AI_PROVIDER=echo:loud``: ``plain`` or ``loud``. The
    other arguments are options, by keyword and with defaults: ``delay_ms`` is the wait between two
    words. Raises ``ValueError`` for what cannot be, which stops the start with that line.
    """

    provider = "echo"

    def __init__(self, *, model: str = "plain", delay_ms: int = 0) -> None:
        if model not in ("plain", "loud"):
            raise ValueError(f"echo has the models plain and loud, not {model!r}")
        self.model = model
        self._delay = delay_ms / 1000

    async def stream(
        self,
        messages: Sequence[Prompt],
        tools: Sequence[ToolSpec] = (),  # noqa: ARG002 (it calls none)
    ) -> AsyncGenerator[Part]:
        """The answer, part by part.

        The generator is closed when nobody wants the answer any more: open the vendor's stream with
        ``async with`` around the loop, and a cancelled turn costs no more tokens.
        """
        if not messages:
            # What a real vendor does wrong is told in these two errors (the other one is
            # ``ProviderTimeout``): then the next model in AI_PROVIDER gets its chance.
            raise ProviderUnavailable
        text = messages[-1].content
        words = re.findall(r"\S+\s*", text.upper() if self.model == "loud" else text)
        for word in words:
            await asyncio.sleep(self._delay)
            yield Delta(word)
        # What it cost, once and last; a vendor that does not say leaves it out.
        said = sum(len(message.content.split()) for message in messages)
        yield Used(Usage(input_tokens=said, output_tokens=len(words)))

    async def ping(self) -> None:
        """Asked by the health pages: whether the vendor can be reached, without spending tokens."""

    async def close(self) -> None:
        """Give back connections here."""

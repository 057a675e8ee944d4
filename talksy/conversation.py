"""The turn: a conversation and a model in, an ordered stream of deltas and one ending out.

It knows no socket, no store, no user and no clock.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, assert_never

import structlog

from talksy.ai.llm import (
    Answering,
    Delta,
    LanguageModel,
    StreamReset,
    ToolCall,
    Used,
    Working,
)
from talksy.errors import InternalError, TalksyError, ToolNotFound
from talksy.events import Ending, Reason
from talksy.ids import new_id
from talksy.messages import Prompt, Usage

BYTES_PER_TOKEN = 4
"""A token is about four characters of English (OpenAI, "What are tokens and how to count them?");
counted in bytes of UTF-8, so that scripts with more tokens a character are not underrated."""

log = structlog.get_logger(__name__)


def trim(prompts: Sequence[Prompt], budget: int) -> list[Prompt]:
    """The newest prompts that fit into ``budget`` tokens, estimated.

    A leading system prompt and the newest message always stay; the oldest others go first.
    """
    head = list(prompts[:1]) if prompts and prompts[0].role == "system" else []
    rest = prompts[len(head) :]
    room = budget - sum(map(_tokens, head))
    kept = len(rest)
    for prompt in reversed(rest):
        room -= _tokens(prompt)
        if room < 0 and kept < len(rest):
            break
        kept -= 1
    return [*head, *rest[kept:]]


def _tokens(prompt: Prompt) -> int:
    return len(prompt.content.encode("utf-8", "replace")) // BYTES_PER_TOKEN + 1


class Turn:
    """One answer of a model.

    ``run`` gives the deltas to a callable as they come and returns the ending, so a turn cannot
    have two of them or none. Leaving it in any way closes the model's stream.
    """

    __slots__ = (
        "_answering",
        "_degraded",
        "_model",
        "_prompts",
        "_said",
        "_scope",
        "_stopped",
        "_usage",
    )

    def __init__(
        self, model: LanguageModel, prompts: Sequence[Prompt], *, degraded: bool = False
    ) -> None:
        """``degraded``: the model is not the one that was asked for, whatever it says itself."""
        self._model = model
        self._prompts = prompts
        self._degraded = degraded
        self._answering = Answering(model.provider, model.model, degraded)
        self._said: list[str] = []
        self._usage: Usage | None = None
        self._scope: asyncio.Timeout | None = None
        self._stopped: tuple[Reason, Mapping[str, Any] | None] | None = None

    @property
    def answering(self) -> Answering:
        """Who answers; the first choice until somebody does."""
        return self._answering

    def stop(self, reason: Reason, error: Mapping[str, Any] | None = None) -> None:
        """Ends the turn with ``reason`` at its next step; the first call counts."""
        if self._stopped is not None:
            return
        self._stopped = (reason, error)
        if self._scope is not None:
            self._scope.reschedule(asyncio.get_running_loop().time())

    async def run(self, give: Callable[[Delta | StreamReset], None]) -> Ending:
        """Runs to the end and returns it. What the model or we do wrong is an ending, too.

        With ``StreamReset`` all that was given before it is void.
        """
        try:
            # A scope of ``asyncio.timeout`` without a deadline: stopping sets it to now.
            async with asyncio.timeout(None) as self._scope:
                if self._stopped is not None:
                    return self._ending(*self._stopped)
                async with aclosing(self._model.stream(self._prompts)) as parts:
                    async for part in parts:
                        if isinstance(part, Delta):
                            self._said.append(part.text)
                            give(part)
                        else:
                            self._take(part, give)
        except TalksyError as error:
            if self._stopped is None:
                return self._ending("failed", error.payload())
        except Exception as error:  # noqa: BLE001 - whatever it is, the turn has an ending
            if self._stopped is None:
                return self._ending("failed", self._ours(error))
            if not isinstance(error, TimeoutError):
                self._ours(error)
        finally:
            self._scope = None
        return self._ending(*(self._stopped or ("completed", None)))

    def _take(
        self,
        part: StreamReset | Answering | Used | ToolCall | Working,
        give: Callable[[Delta | StreamReset], None],
    ) -> None:
        """What is no text."""
        match part:
            case StreamReset():
                self._said.clear()
                give(part)
            case Answering():
                self._answering = replace(part, degraded=part.degraded or self._degraded)
            case Used():
                self._usage = part.usage
            case ToolCall():
                raise ToolNotFound(f"the model asked for {part.name[:64]!r}: no such tool")
            case Working():
                pass
            case _:
                assert_never(part)

    def _ending(self, reason: Reason, error: Mapping[str, Any] | None = None) -> Ending:
        answering = self._answering
        return Ending(
            reason,
            "".join(self._said),
            provider=answering.provider,
            model=answering.model,
            usage=self._usage,
            error=error,
            degraded=answering.degraded,
        )

    def _ours(self, error: Exception) -> Mapping[str, Any]:
        """A fault of ours: the client gets a number, the log the exception under it."""
        told = InternalError(new_id("req"))
        log.error(
            "turn_failed",
            request_id=told.request_id,
            provider=self._answering.provider,
            exc_info=error,
        )
        return told.payload()

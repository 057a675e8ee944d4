"""The turn: a conversation and a model in, an ordered stream of deltas and one ending out.

It knows no socket, no store, no user and no clock.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, assert_never

import structlog

from talksy.ai.llm import Delta, LanguageModel, ToolCall, Used
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

    def __init__(self, model: LanguageModel, prompts: Sequence[Prompt]) -> None:
        self._model = model
        self._prompts = prompts
        self._scope: asyncio.Timeout | None = None
        self._stopped: tuple[Reason, Mapping[str, Any] | None] | None = None

    @property
    def provider(self) -> str:
        """Who answers."""
        return self._model.provider

    @property
    def model(self) -> str:
        """With which model."""
        return self._model.model

    def stop(self, reason: Reason, error: Mapping[str, Any] | None = None) -> None:
        """Ends the turn with ``reason`` at its next step; the first call counts."""
        if self._stopped is not None:
            return
        self._stopped = (reason, error)
        if self._scope is not None:
            self._scope.reschedule(asyncio.get_running_loop().time())

    async def run(self, give: Callable[[Delta], None]) -> Ending:
        """Runs to the end and returns it. What the model or we do wrong is an ending, too."""
        said: list[str] = []
        usage: Usage | None = None

        def ending(reason: Reason, error: Mapping[str, Any] | None = None) -> Ending:
            model = self._model
            return Ending(reason, "".join(said), 0, model.provider, model.model, usage, error)

        try:
            # A scope of ``asyncio.timeout`` without a deadline: stopping sets it to now.
            async with asyncio.timeout(None) as self._scope:
                if self._stopped is not None:
                    return ending(*self._stopped)
                async with aclosing(self._model.stream(self._prompts)) as parts:
                    async for part in parts:
                        match part:
                            case Delta():
                                said.append(part.text)
                                give(part)
                            case Used():
                                usage = part.usage
                            case ToolCall():
                                raise ToolNotFound(
                                    f"the model asked for {part.name!r}: no such tool"
                                )
                            case _:
                                assert_never(part)
        except TalksyError as error:
            if self._stopped is None:
                return ending("failed", error.payload())
        except Exception as error:  # noqa: BLE001 - whatever it is, the turn has an ending
            if self._stopped is None:
                return ending("failed", self._ours(error))
            if not isinstance(error, TimeoutError):
                self._ours(error)
        finally:
            self._scope = None
        return ending(*(self._stopped or ("completed", None)))

    def _ours(self, error: Exception) -> Mapping[str, Any]:
        """A fault of ours: the client gets a number, the log the exception under it."""
        told = InternalError(new_id("req"))
        provider = self._model.provider
        log.error("turn_failed", request_id=told.request_id, provider=provider, exc_info=error)
        return told.payload()

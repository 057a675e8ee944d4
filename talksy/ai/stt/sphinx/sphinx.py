"""Pocketsphinx: English, in a quiet room."""

import asyncio
import importlib.util
import json
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing

import structlog

from talksy.ai.engine import missing
from talksy.ai.stt.base import Capabilities, Recognizer, Transcript
from talksy.ai.stt.sphinx.pool import START_SECONDS, Pool
from talksy.ai.stt.utterance import Utterance
from talksy.audio import milliseconds
from talksy.errors import ProviderTimeout

log = structlog.get_logger(__name__)

_WORD = re.compile(r"[^\W\d_]+(?:['.-][^\W\d_]+)*")
_DECADES, _MOST_DECADES = 5, 50
"""The threshold of a key phrase falls by so many for each of its words."""


class SphinxRecognizer(Recognizer):
    """A ``Recognizer`` on this machine. It hears free speech, which is experimental; more surely
    what a ``grammar`` (JSGF) has; or, with ``keyphrases``, nothing but those, each with its
    threshold, such as ``{"jarvis": 1e-20}``: the smaller, the sooner it is heard. None is the usual
    one of so many words.

    The phrases of an utterance are a grammar of their own: what is said is taken for the nearest of
    them, whatever it was; those with words that the English dictionary does not have are left out.
    The confidence is the mean posterior of the words, which tells little there.

    ``workers`` processes of about 100 MB are started by ``warm``, and each hears one at a time;
    ``queue`` more may wait. Raises ``ProviderUnavailable``
    where the library is not installed.
    """

    provider = "offline"
    capabilities = Capabilities(streaming=True, languages=frozenset({"en"}), experimental=True)

    def __init__(
        self,
        *,
        model: str = "pocketsphinx",
        grammar: str | None = None,
        keyphrases: Mapping[str, float | None] | None = None,
        workers: int = 2,
        queue: int = 4,
    ) -> None:
        if model != "pocketsphinx":
            raise ValueError(f'there is no offline recogniser "{model}": say pocketsphinx')
        if importlib.util.find_spec("pocketsphinx") is None:
            raise missing("pocketsphinx", "pip install 'talksy[voice]'")
        self.model = model
        limits = {phrase: limit or _usual(phrase) for phrase, limit in (keyphrases or {}).items()}
        order = {"grammar": grammar, "keyphrases": limits}
        self.pool = Pool(order, seats=workers, queue=queue)

    async def transcribe(
        self,
        utterance: Utterance,
        *,
        language: str | None = None,  # noqa: ARG002 - it was looked at before: English
        phrases: Sequence[str] = (),
    ) -> AsyncGenerator[Transcript]:
        """As ``Recognizer.transcribe``."""
        listed = list(filter(None, map(_plain, phrases)))
        async with self.pool.hold(json.dumps({"phrases": listed}).encode()) as (worker, said):
            if said.get("left"):
                log.warning("phrases_unknown", count=said["left"])
            heard, text = 0, ""
            async with aclosing(utterance.blocks()) as blocks:
                async for block in blocks:
                    if not block:
                        await worker.ask(b"P")
                        continue
                    said = await worker.ask(b"A", block)
                    heard += len(block)
                    if said["text"] and said["text"] != text:
                        text = said["text"]
                        ms = int(milliseconds(heard))
                        yield self._told(text, final=False, end_ms=ms)
            said = await worker.ask(b"E")
        yield self._told(
            said["text"],
            final=True,
            start_ms=said["start"],
            end_ms=said["end"] or utterance.ms,
            confidence=said["confidence"],
        )

    async def warm(self) -> None:
        """Starts the processes; returns when all are ready."""
        await self.pool.ready()

    async def ping(self) -> None:
        """Returns when a process is ready, and starts them where nobody has."""
        try:
            async with asyncio.timeout(START_SECONDS):
                await self.pool.ready(1)
        except TimeoutError:
            raise ProviderTimeout(hint="the offline recogniser is not ready yet") from None

    async def close(self) -> None:
        """Ends the processes."""
        await self.pool.close()

    def _told(
        self,
        text: str,
        *,
        final: bool,
        end_ms: int,
        start_ms: int = 0,
        confidence: float | None = None,
    ) -> Transcript:
        return Transcript(text, final, start_ms, end_ms, confidence, "en", self.provider)


def _usual(phrase: str) -> float:
    """A threshold at which it is mostly heard and others seldom taken for it."""
    return float(10 ** -min(_MOST_DECADES, _DECADES * len(phrase.split())))


def _plain(phrase: str) -> str:
    """The words of a phrase as a dictionary has them; nothing of it is a grammar's sign."""
    return " ".join(_WORD.findall(phrase.lower()))

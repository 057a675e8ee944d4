"""Opens what hears and speaks on a node."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import structlog

from talksy.ai.llm import Choice, Silence, Unwatched, Watcher
from talksy.ai.stt import FallbackRecognizer, Recognizer, open_recognizer
from talksy.ai.tts import FallbackSynthesizer, Synthesizer, open_synthesizer
from talksy.ai.vad import Detectors
from talksy.ai.wake import WakeEngines
from talksy.errors import ProviderFault, ProviderUnavailable
from talksy.voice.engines import Engines
from talksy.voice.profiles import BUILT_IN

log = structlog.get_logger(__name__)

C = TypeVar("C")


@dataclass(frozen=True, slots=True)
class VoicePlan:
    """Who hears and speaks, each list in the order in which they are asked."""

    stt: Sequence[str] = ("mock",)
    tts: Sequence[str] = ("mock",)
    stt_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What each recogniser is opened with, by its vendor's name."""
    tts_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    stt_seconds: float = 10.0
    """From the end of an utterance to its text."""
    tts_seconds: float = 5.0
    """Until a sentence is heard, and between two pieces of it."""
    streams: int = 100
    """So many microphones at once."""
    warm: int = 0
    """So many detectors are loaded before anybody speaks; with none, no wake words either."""


@asynccontextmanager
async def open_engines(
    plan: VoicePlan, *, hears: Watcher | None = None, speaks: Watcher | None = None
) -> AsyncIterator[Engines]:
    """The engines of a node, closed in the end. What is slow to load is loaded beside. ``hears``
    and ``speaks`` are told what they do.

    Raises ``ValueError`` for a name that nobody has, and ``ProviderUnavailable`` where what one
    runs on is not installed: the ``hint`` says what.
    """
    hears, speaks = hears or Unwatched(), speaks or Unwatched()
    hearers = {
        name: Choice[Recognizer](
            open_recognizer(name, plan.stt_options), watcher=hears, limits=("STT_TIMEOUT_MS",) * 2
        )
        for name in plan.stt
    }
    speakers = {
        name: Choice[Synthesizer](
            open_synthesizer(name, plan.tts_options), watcher=speaks, limits=("TTS_TIMEOUT_MS",) * 2
        )
        for name in plan.tts
    }
    silence = Silence(plan.tts_seconds, plan.tts_seconds)

    def hearing(*first: Choice[Recognizer]) -> FallbackRecognizer:
        choices = _behind(first, hearers.values())
        return FallbackRecognizer(choices, watcher=hears, final=plan.stt_seconds)

    def speaking(*first: Choice[Synthesizer]) -> FallbackSynthesizer:
        choices = _behind(first, speakers.values())
        return FallbackSynthesizer(choices, watcher=speaks, silence=silence)

    engines = Engines(
        Detectors(most=plan.streams),
        WakeEngines(),
        hearing(),
        speaking(),
        {name: hearing(choice) for name, choice in hearers.items()},
        {name: speaking(choice) for name, choice in speakers.items()},
        [*hearers.values()],
        [*speakers.values()],
    )
    warming = asyncio.create_task(_warm(engines, plan), name="engines")
    try:
        yield engines
    finally:
        warming.cancel()
        await asyncio.gather(warming, return_exceptions=True)
        await engines.wake.close()
        await engines.recognizer.close()
        await engines.synthesizer.close()


def _behind(first: Sequence[C], usual: Iterable[C]) -> list[C]:
    """Those that are asked for, and the usual ones behind them."""
    return [*first, *(each for each in usual if each not in first)]


async def _warm(engines: Engines, plan: VoicePlan) -> None:
    """Loads what would else be loaded while somebody speaks."""
    loads: dict[str, Callable[[], Awaitable[None]]] = {
        "stt": engines.recognizer.warm,
        "tts": engines.synthesizer.warm,
        "vad": partial(engines.detectors.warm, "combined", plan.warm),
    }
    # Who only tries things out with the mock need not pay for a process.
    if plan.warm and set(plan.stt) != {"mock"}:
        loads["wake"] = partial(_warm_wakes, engines.wake)
    for what, load in loads.items():
        try:
            await load()
        except ProviderFault as error:
            log.warning("engine_not_ready", engine=what, hint=error.hint)
        except Exception:
            log.exception("engine_not_ready", engine=what)


async def _warm_wakes(engines: WakeEngines) -> None:
    """Those of the built-in profiles, where what they run on is installed: it need not be."""
    for word in filter(None, (profile.wake_word for profile in BUILT_IN.values())):
        try:
            await engines.prepare(word.phrase, word.engine)
        except ProviderUnavailable as error:
            log.info("wake_word_not_ready", phrase=word.phrase, hint=error.hint)

"""Opens what hears and speaks on a node."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import structlog

from talksy.ai.llm import Choice, Silence, Unwatched
from talksy.ai.stt import FallbackRecognizer, Recognizer, open_recognizer
from talksy.ai.tts import FallbackSynthesizer, Synthesizer, open_synthesizer
from talksy.ai.vad import Detectors
from talksy.ai.wake import WakeEngines
from talksy.errors import ProviderFault
from talksy.voice.engines import Engines

log = structlog.get_logger(__name__)


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
    """So many detectors are loaded before anybody speaks."""


@asynccontextmanager
async def open_engines(plan: VoicePlan) -> AsyncIterator[Engines]:
    """The engines of a node, closed in the end. What is slow to load is loaded beside.

    Raises ``ValueError`` for a name that nobody has, and ``ProviderUnavailable`` where what one
    runs on is not installed: the ``hint`` says what.
    """
    recognizers = {name: open_recognizer(name, plan.stt_options) for name in plan.stt}
    synthesizers = {name: open_synthesizer(name, plan.tts_options) for name in plan.tts}
    hears = [
        Choice[Recognizer](each, watcher=Unwatched(), limits=("STT_TIMEOUT_MS",) * 2)
        for each in recognizers.values()
    ]
    speaks = [
        Choice[Synthesizer](each, watcher=Unwatched(), limits=("TTS_TIMEOUT_MS",) * 2)
        for each in synthesizers.values()
    ]
    silence = Silence(plan.tts_seconds, plan.tts_seconds)
    engines = Engines(
        Detectors(most=plan.streams),
        WakeEngines(),
        FallbackRecognizer(hears, final=plan.stt_seconds),
        FallbackSynthesizer(speaks, silence=silence),
        recognizers,
        synthesizers,
    )
    warming = asyncio.create_task(_warm(engines, plan.warm), name="engines")
    try:
        yield engines
    finally:
        warming.cancel()
        await asyncio.gather(warming, return_exceptions=True)
        await engines.wake.close()
        await engines.recognizer.close()
        await engines.synthesizer.close()


async def _warm(engines: Engines, detectors: int) -> None:
    """Loads what would else be loaded while somebody speaks."""
    loads: Mapping[str, Callable[[], Awaitable[None]]] = {
        "stt": engines.recognizer.warm,
        "tts": engines.synthesizer.warm,
        "vad": partial(engines.detectors.warm, "combined", detectors),
    }
    for what, load in loads.items():
        try:
            await load()
        except ProviderFault as error:
            log.warning("engine_not_ready", engine=what, hint=error.hint)
        except Exception:
            log.exception("engine_not_ready", engine=what)

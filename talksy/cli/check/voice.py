"""What hears and speaks: which engines there are, and whether those that are named work.

Recognisers and voices that only follow from a key are not tried: the key is, with the models.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from talksy.ai.slot import Slot
from talksy.ai.stt import VENDORS as HEARERS
from talksy.ai.stt import Recognizer, open_recognizer
from talksy.ai.tts import VENDORS as SPEAKERS
from talksy.ai.tts import Synthesizer, open_synthesizer
from talksy.ai.tts.offline import PROGRAMS
from talksy.ai.vad import ENGINES as DETECTORS
from talksy.ai.vad import open_detector
from talksy.ai.wake import ENGINES as WAKES
from talksy.ai.wake import WakeEngines
from talksy.app import voice_plan
from talksy.cli.check.findings import Finding, ms_since
from talksy.config import Settings
from talksy.errors import ProviderFault

Try = Callable[[], Awaitable[object]]
Options = Mapping[str, Mapping[str, Any]]


async def voice(settings: Settings) -> AsyncGenerator[Finding]:
    """Detectors, wake words, recognisers and voices."""
    plan, wakes = voice_plan(settings), WakeEngines()
    detectors = {name: _opening(open_detector, name) for name in DETECTORS.built_in}
    recogniser = {"offline": _opening(open_recognizer, "offline")}
    programs = {
        f"offline:{each}": _opening(open_synthesizer, f"offline:{each}") for each in PROGRAMS
    }
    yield await _installed("vad", DETECTORS, detectors)
    try:
        yield await _installed(
            "wake", WAKES, {each: partial(wakes.warm, each) for each in WAKES.built_in}
        )
    finally:
        await wakes.close()
    yield await _installed("stt", HEARERS, recogniser)
    for name in settings.stt_provider:
        yield await _tried("stt", name, open_recognizer, plan.stt_options)
    yield await _installed("tts", SPEAKERS, programs)
    for name in settings.tts_provider:
        yield await _tried("tts", name, open_synthesizer, plan.tts_options)


def _opening(opens: Callable[[str], object], name: str) -> Try:
    return partial(asyncio.to_thread, opens, name)


async def _installed(part: str, slot: Slot, local: Mapping[str, Try]) -> Finding:
    """Which there are; of those in ``local`` that only shows when they are tried."""
    vendors = {name.partition(":")[0] for name in local}
    there, lacking, hints = [*local], [], dict[str, None]()
    for name, attempt in local.items():
        try:
            await attempt()
        except ProviderFault as error:
            there.remove(name)
            lacking.append(name)
            hints[error.hint or error.message] = None
    there += [name for name in slot.names() if name not in vendors]
    said = ", ".join(there) + (f"; not installed: {', '.join(lacking)}" if lacking else "")
    return Finding(part, "ok", said, "; ".join(hints) or None)


async def _tried(
    part: str,
    name: str,
    opens: Callable[[str, Options], Recognizer | Synthesizer],
    options: Options,
) -> Finding:
    """Whether one that is named works."""
    started = time.perf_counter()
    try:
        engine = opens(name, options)
        try:
            await engine.ping()
        finally:
            await engine.close()
    except ProviderFault as error:
        said = f"{name}: {error.cause}"
        return Finding(part, "failed", said, error.hint, ms_since(started))
    except ValueError as error:
        return Finding(part, "failed", str(error), ms=ms_since(started))
    except Exception as error:  # noqa: BLE001 - a plug-in may raise what it likes
        said = f"{name}: {type(error).__name__}"
        return Finding(part, "failed", said, ms=ms_since(started))
    return Finding(part, "ok", f"{name} works", ms=ms_since(started))

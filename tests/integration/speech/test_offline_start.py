"""A busy machine takes its time to load the offline recogniser, and it is waited for."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from talksy.ai.stt.sphinx import SphinxRecognizer
from talksy.cli.check.run import timed
from talksy.cli.check.voice import voice
from talksy.config import Settings
from tests.soak.clock import LeapingLoop

T = TypeVar("T")
SLOW_SECONDS = 20.0


def slowly(work: Callable[[], Awaitable[T]]) -> T:
    """What it gives on a machine where its first step takes so long."""

    async def leaping() -> T:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, LeapingLoop)
        working = asyncio.ensure_future(work())
        await asyncio.sleep(0)
        loop.leap(SLOW_SECONDS)
        return await working

    with asyncio.Runner(loop_factory=LeapingLoop) as runner:
        return runner.run(leaping())


def test_it_is_asked_for_as_long_as_it_may_take_to_start() -> None:
    async def asked() -> None:
        recognizer = SphinxRecognizer(workers=1)
        try:
            await recognizer.ping()
        finally:
            await recognizer.close()

    slowly(asked)


def test_the_check_waits_for_it(tmp_path: Path) -> None:
    given = {"DATA_DIR": str(tmp_path), "STT_PROVIDER": "offline", "STT_WORKERS": "1"}
    settings = Settings.load(given, None)
    found = slowly(lambda: timed(voice, settings))
    assert ("stt", "ok", "offline works") in [(each.part, each.state, each.said) for each in found]

"""Whether somebody calls, while the engine that listens for it dies and is not to be had."""

import os
import signal
import sys
from collections.abc import AsyncIterator

import pytest

from talksy.ai.wake import Wake, WakeEngines
from talksy.ai.wake.keyphrase import KeyphraseWake
from talksy.audio import size_of
from talksy.errors import ProviderUnavailable
from talksy.voice import WakeWord
from talksy.voice.attention import RETRY_MS, Attention
from tests.clips import clip
from tests.integration.voice.test_detectors import pieces

SAID = pieces(clip("jarvis_then_time").pcm, size_of(32))
CALLED_AT = 1_200 // 32
"""In the middle of the word, which is heard at 1,420 ms."""


@pytest.fixture
async def engines() -> AsyncIterator[WakeEngines]:
    engines = WakeEngines()
    yield engines
    await engines.close()


def kill(engines: WakeEngines) -> None:
    engine = engines._opened["keyphrase"]
    assert isinstance(engine, KeyphraseWake)
    assert engine._link is not None
    os.kill(engine._link._process.pid, signal.SIGKILL)


async def heard(attention: Attention, said: list[bytes]) -> list[Wake]:
    return [wake for piece in said for wake in await attention.hear(piece)]


async def test_each_wake_is_known_with_the_piece_that_it_is_in(engines: WakeEngines) -> None:
    async with Attention(engines, WakeWord()) as attention:
        (number,) = [n for n, piece in enumerate(SAID) if await attention.hear(piece)]
    assert 1_400 <= number * 32 <= 1_800


async def test_an_engine_that_dies_in_the_wake_word_is_replaced_and_hears_it(
    engines: WakeEngines,
) -> None:
    async with Attention(engines, WakeWord()) as attention:
        assert await heard(attention, SAID[:CALLED_AT]) == []
        kill(engines)
        (wake,) = await heard(attention, SAID[CALLED_AT:])
        assert wake.phrase == "jarvis"
        assert len(await heard(attention, SAID)) == 1, "it is heard once each time"


async def test_one_that_cannot_be_replaced_is_told_once_and_tried_again(
    engines: WakeEngines, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Attention(engines, WakeWord()) as attention:
        with monkeypatch.context() as gone:
            gone.setitem(sys.modules, "pocketsphinx", None)
            kill(engines)
            with pytest.raises(ProviderUnavailable) as caught:
                await heard(attention, SAID)
            assert caught.value.hint == "pocketsphinx is missing: pip install 'talksy[voice]'"
            silence = pieces(bytes(size_of(2 * RETRY_MS)), size_of(32))
            assert await heard(attention, silence) == []
        await heard(attention, pieces(bytes(size_of(RETRY_MS)), size_of(32)))
        assert len(await heard(attention, SAID)) == 1

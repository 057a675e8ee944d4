"""What every wake word engine promises, and what each of them hears."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator

import pytest

from talksy.ai.wake import Wake, WakeEngines, link
from talksy.ai.wake.keyphrase import KeyphraseWake
from talksy.ai.wake.mock import CALL
from talksy.errors import Overloaded, ProviderTimeout, ProviderUnavailable, ValidationError
from tests.clips import Clip, clip, clips
from tests.integration.voice.test_detectors import pieces

PHRASE = "hey jarvis"
SAYING = "hey_jarvis"
TAIL = bytes(32 * 500)


@pytest.fixture
async def engines() -> AsyncIterator[WakeEngines]:
    engines = WakeEngines()
    yield engines
    await engines.close()


@pytest.fixture(params=["micro", "keyphrase", "mock"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def call(engine: str) -> bytes:
    """What wakes it, with half a second of silence around."""
    return TAIL + CALL + TAIL if engine == "mock" else clip(SAYING).pcm


async def listen(
    engines: WakeEngines, said: list[bytes], engine: str | None = None, phrase: str = PHRASE
) -> list[Wake]:
    async with engines.listen(phrase, sensitivity=0.7, engine=engine) as detector:
        wakes: list[Wake] = []
        for at, piece in enumerate(said):
            wakes += detector.hear(piece)
            if at % 100 == 0:
                await asyncio.sleep(0)
        return wakes + await detector.finish()


async def test_it_wakes_once_when_it_is_called(engines: WakeEngines, engine: str) -> None:
    (wake,) = await listen(engines, [call(engine)], engine)
    assert wake.phrase == PHRASE
    assert 0.5 < wake.confidence <= 1
    if engine == "mock":
        assert wake.at_ms == 600
    else:
        assert 1_400 < wake.at_ms < 1_600, "it ends at 1,450 ms, and is heard a little later"


async def test_it_wakes_again_when_it_is_called_again(engines: WakeEngines, engine: str) -> None:
    first, second = await listen(engines, [call(engine) * 2], engine)
    assert abs(second.at_ms - first.at_ms - len(call(engine)) / 32) <= 64


async def test_it_wakes_alike_however_the_stream_is_cut(engines: WakeEngines, engine: str) -> None:
    whole = await listen(engines, [call(engine)], engine)
    for size in (1, 7 * 32 + 1, 33 * 32, 3_200):
        assert await listen(engines, pieces(call(engine), size), engine) == whole


@pytest.mark.parametrize("heard", clips().values(), ids=lambda each: each.name)
async def test_it_wakes_for_nothing_else(engines: WakeEngines, engine: str, heard: Clip) -> None:
    wakes = await listen(engines, [heard.pcm], engine)
    assert len(wakes) == (PHRASE in heard.says and engine != "mock")


async def test_any_words_may_be_the_key_phrase(engines: WakeEngines) -> None:
    (wake,) = await listen(engines, [clip("jarvis_then_time").pcm], phrase="jarvis")
    assert (wake.phrase, wake.at_ms) == ("jarvis", 1_420)
    assert await listen(engines, [clip("what_time_is_it").pcm], phrase="what time") != []


async def test_two_streams_are_listened_to_side_by_side(engines: WakeEngines) -> None:
    said = [pieces(clip("jarvis_then_time").pcm, 1_280), pieces(clip("hey_jarvis").pcm, 1_280)]
    heard = await asyncio.gather(*(listen(engines, each, "keyphrase") for each in said))
    assert [len(wakes) for wakes in heard] == [1, 1]


async def test_what_was_heard_elsewhere_comes_with_a_later_piece(engines: WakeEngines) -> None:
    async with engines.listen(PHRASE, sensitivity=0.7, engine="keyphrase") as detector:
        assert detector.hear(clip(SAYING).pcm) == []
        async with asyncio.timeout(5):
            while True:
                if wakes := detector.hear(bytes(1_280)):
                    break
                await asyncio.sleep(0.01)
    assert [wake.phrase for wake in wakes] == [PHRASE]


@pytest.mark.parametrize(
    ("chosen", "phrase", "fault"),
    [
        ("micro", "hey mary", "is not known to the engine micro: one of alexa, hey jarvis"),
        ("keyphrase", "hey zorblax", "has words that the engine keyphrase does not know: zorblax"),
        (None, "zorblax", "has words that the engine keyphrase does not know: zorblax"),
    ],
)
async def test_a_phrase_that_nobody_knows_is_refused(
    engines: WakeEngines, chosen: str | None, phrase: str, fault: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        await listen(engines, [], chosen, phrase)
    ((path, told),) = caught.value.faults
    assert (path, told.startswith(fault)) == ("phrase", True)


async def test_who_knows_the_phrase_best_listens_and_else_the_next(
    engines: WakeEngines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network hears it a tenth of a second after the recogniser: that tells them apart."""
    assert [wake.at_ms for wake in await listen(engines, [clip(SAYING).pcm])] == [1_550]
    monkeypatch.setitem(sys.modules, "pymicro_wakeword", None)
    assert [wake.at_ms for wake in await listen(engines, [clip(SAYING).pcm])] == [1_420]


@pytest.mark.parametrize(
    ("chosen", "module", "package"),
    [
        ("micro", "pymicro_wakeword", "pymicro-wakeword"),
        ("keyphrase", "pocketsphinx", "pocketsphinx"),
    ],
)
async def test_a_missing_library_is_told_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch, engines: WakeEngines, chosen: str, module: str, package: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ProviderUnavailable) as caught:
        await engines.warm(chosen)
    assert caught.value.hint == f"{package} is missing: pip install 'talksy[voice]'"


# ---- the process of the key phrases


@pytest.fixture
async def keyphrase() -> AsyncIterator[KeyphraseWake]:
    engine = KeyphraseWake()
    await engine.warm()
    yield engine
    await engine.close()


def process(engine: KeyphraseWake) -> int:
    assert engine._link is not None
    return engine._link._process.pid


async def test_a_process_that_dies_costs_its_streams_and_is_replaced(
    keyphrase: KeyphraseWake,
) -> None:
    async with keyphrase.listen(PHRASE, 0.7) as detector:
        os.kill(process(keyphrase), signal.SIGKILL)
        with pytest.raises(ProviderUnavailable):
            await detector.finish()
        with pytest.raises(ProviderUnavailable):
            detector.hear(clip(SAYING).pcm)
    async with keyphrase.listen(PHRASE, 0.7) as detector:
        assert len(detector.hear(clip(SAYING).pcm) + await detector.finish()) == 1


async def test_a_process_that_stands_still_is_found_out_and_replaced(
    keyphrase: KeyphraseWake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "ANSWER_SECONDS", 0.1)
    async with keyphrase.listen(PHRASE, 0.7) as detector:
        still = process(keyphrase)
        os.kill(still, signal.SIGSTOP)
        with pytest.raises(ProviderTimeout):
            await detector.finish()
    await keyphrase.warm()
    assert process(keyphrase) != still


async def test_what_nobody_takes_does_not_pile_up(keyphrase: KeyphraseWake) -> None:
    """An hour is said to a process that stands still."""

    def say(seconds: int) -> None:
        for _ in range(seconds):
            detector.hear(clip("jarvis_then_time").pcm[32_000:64_000])

    async with keyphrase.listen(PHRASE, 0.7) as detector:
        os.kill(process(keyphrase), signal.SIGSTOP)
        with pytest.raises(Overloaded):
            say(3_600)
        assert keyphrase._link is not None
        assert keyphrase._link._orders.transport.get_write_buffer_size() < 2 * link.MOST_BYTES


async def test_too_many_streams_are_refused_at_once() -> None:
    engines = WakeEngines({"keyphrase": {"most": 1}})
    async with engines.listen(PHRASE, engine="keyphrase"):
        with pytest.raises(Overloaded):
            await listen(engines, [], "keyphrase")
    assert await listen(engines, [], "keyphrase") == [], "there is room again"
    await engines.close()


async def test_silence_is_kept_from_it(keyphrase: KeyphraseWake) -> None:
    """It stands still, and nobody notices: there is nothing for it to do."""
    async with keyphrase.listen(PHRASE, 0.7) as detector:
        os.kill(process(keyphrase), signal.SIGSTOP)
        for _ in range(600):
            detector.hear(clip("silence_1s").pcm)
            await asyncio.sleep(0)
        assert keyphrase._link is not None
        assert keyphrase._link._orders.transport.get_write_buffer_size() == 0
        os.kill(process(keyphrase), signal.SIGCONT)


async def test_closed_it_leaves_no_process() -> None:
    engine = KeyphraseWake()
    await engine.warm()
    pid = process(engine)
    await engine.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_it_ends_when_its_server_is_gone(keyphrase: KeyphraseWake) -> None:
    assert keyphrase._link is not None
    keyphrase._link._orders.close()
    async with asyncio.timeout(5):
        assert await keyphrase._link._process.wait() == 0

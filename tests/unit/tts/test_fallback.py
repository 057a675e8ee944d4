"""The first that can speaks; no word is said twice."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from talksy.ai.engine import EngineBusy
from talksy.ai.llm import Choice, Silence, Unwatched
from talksy.ai.llm import fallback as module
from talksy.ai.tts import FallbackSynthesizer, Speech, Synthesizer
from talksy.errors import Overloaded, ProviderTimeout, ProviderUnavailable
from tests.unit.tts.script import SOUND, ScriptedSynthesizer, spoken, words

AWAY = ProviderUnavailable(cause="auth")
"""A failure that nobody tries again after."""


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between attempts need not be waited for."""
    monkeypatch.setattr(module, "RETRY_PAUSE", 0.0)


def fallback(*engines: Synthesizer) -> FallbackSynthesizer:
    choices = [Choice(each, watcher=Unwatched()) for each in engines]
    return FallbackSynthesizer(choices, silence=Silence(0.05, 0.05))


async def test_the_first_choice_speaks_with_the_voice_that_was_asked_for() -> None:
    first = ScriptedSynthesizer(SOUND)
    pieces = await spoken(fallback(first, ScriptedSynthesizer()), "One. Two.", voice="alba")
    assert words(pieces) == ["One. ", "Two."]
    assert first.asked == [("One.", "alba"), ("Two.", "alba")]
    assert not any(piece.degraded for piece in pieces)


@pytest.mark.parametrize(
    "steps", [[AWAY], [asyncio.Event()], [EngineBusy()], [ValueError("a bug of a plug-in")]]
)
async def test_who_stands_in_goes_on_to_the_end_in_a_voice_of_its_own(steps: list[Any]) -> None:
    first, second = ScriptedSynthesizer(*steps), ScriptedSynthesizer(SOUND, name="second")
    pieces = await spoken(fallback(first, second), "One. Two.", voice="alba")
    assert words(pieces) == ["One. ", "Two."]
    assert {(piece.provider, piece.degraded) for piece in pieces} == {("second", True)}
    assert (len(first.asked), second.asked) == (1, [("One.", None), ("Two.", None)])


async def test_a_sentence_that_breaks_off_is_not_said_again() -> None:
    first = ScriptedSynthesizer(SOUND, SOUND, AWAY)
    second, pieces = ScriptedSynthesizer(SOUND), list[Speech]()
    with pytest.raises(ProviderUnavailable):
        await spoken(fallback(first, second), "One two three.", into=pieces)
    assert len(pieces) == 1
    assert second.asked == []


async def test_a_silence_in_mid_sentence_is_a_failure() -> None:
    first = ScriptedSynthesizer(SOUND, SOUND, asyncio.Event())
    with pytest.raises(ProviderTimeout):
        await spoken(fallback(first), "One two three.")
    assert first.open == 0


async def test_whoever_waits_for_the_model_to_write_is_not_late() -> None:
    async def texts() -> AsyncIterator[str]:
        yield "One. T"
        await asyncio.sleep(0.15)
        yield "wo."

    pieces = [piece async for piece in fallback(ScriptedSynthesizer(SOUND)).stream(texts())]
    assert words(pieces) == ["One. ", "Two."]


async def test_a_passing_failure_is_tried_once_more_and_all_have_failed_then() -> None:
    engine = ScriptedSynthesizer(ProviderUnavailable())
    with pytest.raises(ProviderUnavailable):
        await spoken(fallback(engine), "One.")
    assert len(engine.asked) == 2


async def test_an_engine_that_has_enough_to_do_is_overloaded() -> None:
    with pytest.raises(Overloaded):
        await spoken(fallback(ScriptedSynthesizer(EngineBusy())), "One.")


async def test_of_what_has_no_word_nobody_is_asked() -> None:
    engine = ScriptedSynthesizer(AWAY)
    assert await spoken(fallback(engine), "---\n") == [Speech(b"", "---\n", "script")]
    assert engine.asked == []

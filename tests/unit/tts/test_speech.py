"""Pieces of speech, and the words in them."""

import asyncio
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from talksy.ai.tts import Speech, open_synthesizer
from talksy.ai.tts.mock import LETTER_MS
from tests.unit.tts.script import SOUND, ScriptedSynthesizer, spoken, words, written

TEXT = ("One mo", "ment. It ", "is **four** o'clock, by now. ", "---\n", "Bye")


async def test_all_texts_together_are_what_was_written() -> None:
    for engine in (open_synthesizer("mock"), ScriptedSynthesizer(SOUND, SOUND, SOUND)):
        assert "".join(words(await spoken(engine, *TEXT))) == "".join(TEXT)


async def test_what_is_made_at_once_is_one_piece_a_sentence() -> None:
    pieces = await spoken(open_synthesizer("mock"), *TEXT)
    assert words(pieces) == ["One moment. ", "It is **four** o'clock, by now. ", "---\n", "Bye"]
    letters = [len("One moment."), len("It is four o'clock, by now."), 0, len("Bye")]
    assert [piece.duration_ms for piece in pieces] == [LETTER_MS * count for count in letters]


async def test_speech_begins_while_the_model_still_writes() -> None:
    goes_on = asyncio.Event()

    async def texts() -> AsyncIterator[str]:
        yield "It is four. And "
        await goes_on.wait()
        yield "a half."

    async with aclosing(open_synthesizer("mock").stream(texts())) as pieces:
        assert (await anext(pieces)).text == "It is four. "
        goes_on.set()
        assert words([piece async for piece in pieces]) == ["And a half."]


async def test_what_streams_in_has_its_words_piece_by_piece() -> None:
    engine = ScriptedSynthesizer(*[SOUND[:2_399]] * 40)
    pieces = await spoken(engine, "These are quite a few words for four seconds of speech.")
    assert len(pieces) >= 4
    assert all(len(piece.pcm) % 2 == 0 and piece.pcm for piece in pieces)
    assert sum(len(piece.pcm) for piece in pieces) == 40 * 2_399
    assert words(pieces)[0].strip()
    assert words(pieces)[-1].strip()


@pytest.mark.parametrize(
    ("ms", "heard"),
    [
        (-1, ""),
        (0, ""),
        (300, "One "),
        (700, "One two "),
        (999, "One two "),
        (1_000, "One two six "),
    ],
)
def test_what_was_heard_is_told_to_the_word(ms: float, heard: str) -> None:
    assert Speech(SOUND * 2, "One two six ").heard(ms) == heard


def test_a_piece_without_sound_is_heard_at_once() -> None:
    assert Speech(b"", "---").heard(0) == "---"


async def test_closing_it_closes_the_engine() -> None:
    engine = ScriptedSynthesizer(SOUND, SOUND, asyncio.Event())
    async with aclosing(engine.stream(written("One. Two."))) as pieces:
        await anext(pieces)
        assert engine.open == 1
    assert engine.open == 0


async def test_who_listens_may_be_cancelled() -> None:
    engine = ScriptedSynthesizer(asyncio.Event())
    listening = asyncio.create_task(spoken(engine, "One. Two."))
    await engine.idle.wait()
    listening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await listening
    assert engine.open == 0


async def test_of_an_answer_without_an_end_nothing_is_kept() -> None:
    async def texts() -> AsyncIterator[str]:
        for _ in range(2_000):
            await asyncio.sleep(0)
            yield "A few words more. "

    seconds = 0.0
    tracemalloc.start()
    try:
        async for piece in open_synthesizer("mock").stream(texts()):
            seconds += piece.duration_ms / 1_000
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
    assert seconds > 1_800

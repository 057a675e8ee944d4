"""One utterance: partials, one final, an end in any case."""

import asyncio

import pytest

from talksy.ai.stt import LONGEST_MS
from talksy.audio import milliseconds
from talksy.errors import Overloaded, ProviderUnavailable, ValidationError
from tests.unit.stt.script import END, SOUND, ScriptedRecognizer, final, hear, read, texts


async def test_partials_come_before_the_one_final() -> None:
    told = await hear(ScriptedRecognizer("what", "what time", END, final("what time is it")))
    assert texts(told) == [("what", False), ("what time", False), ("what time is it", True)]


async def test_the_first_final_is_the_last_word() -> None:
    engine = ScriptedRecognizer(final("it"), final("is not"))
    assert texts(await hear(engine)) == [("it", True)]
    assert engine.open == 0


async def test_the_last_partial_is_the_final_where_there_is_none() -> None:
    assert texts(await hear(ScriptedRecognizer("what time", END))) == [
        ("what time", False),
        ("what time", True),
    ]
    (only,) = await hear(ScriptedRecognizer(END))
    assert (only.text, only.final, only.end_ms) == ("", True, 1_000)


async def test_what_is_cut_off_ends_with_what_was_heard() -> None:
    engine = ScriptedRecognizer("what time", asyncio.Event(), final("what time is it"))
    async with engine.listen() as hearing:
        reading = asyncio.create_task(read(hearing))
        await engine.idle.wait()
        hearing.abort()
        assert texts(await reading) == [("what time", False), ("what time", True)]
    assert engine.open == 0


async def test_what_is_cut_off_before_anybody_reads_has_a_final_too() -> None:
    async with ScriptedRecognizer("what", END).listen() as hearing:
        hearing.abort()
        assert texts(await read(hearing)) == [("", True)]
        assert await read(hearing) == []


async def test_a_failure_ends_it_instead() -> None:
    async with ScriptedRecognizer("what", ProviderUnavailable()).listen() as hearing:
        assert (await anext(hearing)).text == "what"
        with pytest.raises(ProviderUnavailable):
            await anext(hearing)
        assert await read(hearing) == []


async def test_who_reads_may_be_cancelled() -> None:
    engine = ScriptedRecognizer(asyncio.Event())
    async with engine.listen() as hearing:
        reading = asyncio.create_task(read(hearing))
        await engine.idle.wait()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
    assert engine.open == 0


@pytest.mark.parametrize("size", [1, 7, 640, 3_199, 32_000])
async def test_all_of_it_is_heard_however_it_was_cut(size: int) -> None:
    engine = ScriptedRecognizer(END, final("yes"))
    await hear(engine, SOUND, size=size)
    assert engine.heard == [SOUND]


async def test_half_a_sample_is_no_sound() -> None:
    engine = ScriptedRecognizer(END, final("yes"))
    await hear(engine, SOUND + b"\x01")
    assert engine.heard == [SOUND]


async def test_an_hour_in_one_go_is_refused_and_its_beginning_is_heard() -> None:
    engine, refused = ScriptedRecognizer(END, final("much")), 0
    async with engine.listen() as hearing:
        for _ in range(3_600):
            try:
                hearing.push(SOUND)
            except Overloaded:
                refused += 1
        hearing.end()
        assert texts(await read(hearing)) == [("much", True)]
    assert milliseconds(len(engine.heard[0])) == LONGEST_MS
    assert refused == 3_600 - LONGEST_MS // 1_000


async def test_a_language_that_nobody_understands_is_refused_by_name() -> None:
    engine = ScriptedRecognizer(END, languages=frozenset({"en"}))
    with pytest.raises(ValidationError) as raised:
        async with engine.listen(language="de-DE"):
            pass
    assert raised.value.faults == (("language", "is not understood by script: say one of en"),)
    async with engine.listen(language="EN-gb") as hearing:
        hearing.end()

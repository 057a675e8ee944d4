"""The first that can hear is believed; a failure before the final is not seen."""

import asyncio
from typing import Any

import pytest

from talksy.ai.engine import EngineBusy
from talksy.ai.llm import Choice, Unwatched
from talksy.ai.llm import fallback as module
from talksy.ai.llm.breaker import FAILURES
from talksy.ai.stt import FallbackRecognizer, Recognizer
from talksy.errors import Overloaded, ProviderTimeout, ProviderUnavailable, ValidationError
from tests.unit.stt.script import END, SOUND, ScriptedRecognizer, final, hear, read, texts

AWAY = ProviderUnavailable(cause="auth")
"""A failure that nobody tries again after."""


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between attempts need not be waited for."""
    monkeypatch.setattr(module, "RETRY_PAUSE", 0.0)


def fallback(*engines: Recognizer, makeshift: bool = False) -> FallbackRecognizer:
    choices = [Choice(each, watcher=Unwatched(), makeshift=makeshift) for each in engines]
    return FallbackRecognizer(choices, final=0.05)


async def test_the_first_choice_hears() -> None:
    told = await hear(fallback(ScriptedRecognizer("a", END, final("a b")), ScriptedRecognizer()))
    assert texts(told) == [("a", False), ("a b", True)]
    assert not told[-1].degraded


@pytest.mark.parametrize(
    "steps",
    [
        [AWAY],
        ["a", AWAY],
        [END, AWAY],
        [EngineBusy()],
        [END, asyncio.Event()],
        ["a", END, asyncio.Event()],
        [ValueError("a bug of a plug-in")],
    ],
)
async def test_who_stands_in_hears_all_of_it(steps: list[Any]) -> None:
    second = ScriptedRecognizer(END, final("all of it"), name="second")
    told = await hear(fallback(ScriptedRecognizer(*steps), second))
    assert (told[-1].text, told[-1].final) == ("all of it", True)
    assert (told[-1].provider, told[-1].degraded) == ("second", True)
    assert second.heard == [SOUND]


async def test_nobody_is_late_while_somebody_still_speaks() -> None:
    async with fallback(ScriptedRecognizer(END, final("at last"))).listen() as hearing:
        reading = asyncio.create_task(read(hearing))
        await asyncio.sleep(0.15)
        hearing.push(SOUND)
        hearing.end()
        assert texts(await reading) == [("at last", True)]


async def test_a_passing_failure_is_tried_once_more() -> None:
    engine = ScriptedRecognizer(ProviderUnavailable())
    with pytest.raises(ProviderUnavailable):
        await hear(fallback(engine))
    assert engine.asked == 2


async def test_after_all_have_failed_one_failure_is_told() -> None:
    late = ScriptedRecognizer(END, asyncio.Event())
    with pytest.raises(ProviderTimeout):
        await hear(fallback(late, late))
    assert late.open == 0


async def test_an_engine_that_has_enough_to_do_is_overloaded_and_not_broken() -> None:
    recognizer = fallback(ScriptedRecognizer(EngineBusy()))
    for _ in range(FAILURES + 1):
        with pytest.raises(Overloaded) as raised:
            await hear(recognizer)
        assert raised.value.payload()["code"] == "OVERLOADED"
    assert recognizer.choices[0].breaker.state == "closed"


async def test_an_engine_that_keeps_failing_is_left_alone() -> None:
    broken = ScriptedRecognizer(AWAY)
    recognizer = fallback(broken, ScriptedRecognizer(END, final("yes")))
    for _ in range(3):
        assert (await hear(recognizer))[-1].degraded
    assert broken.asked == 1


async def test_a_makeshift_is_degraded_even_as_the_first() -> None:
    (told,) = await hear(fallback(ScriptedRecognizer(END, final("hm")), makeshift=True))
    assert told.degraded


async def test_who_does_not_understand_the_language_is_not_asked() -> None:
    english = ScriptedRecognizer(languages=frozenset({"en"}))
    both = ScriptedRecognizer(END, final("ja"), languages=frozenset({"en", "de"}))
    recognizer = fallback(english, both)
    async with recognizer.listen(language="de") as hearing:
        hearing.end()
        (told,) = await read(hearing)
    assert (told.text, told.degraded, english.asked) == ("ja", True, 0)
    with pytest.raises(ValidationError):
        async with recognizer.listen(language="fr"):
            pass


async def test_cutting_it_off_closes_the_engine_and_blames_nobody() -> None:
    engine = ScriptedRecognizer("what", asyncio.Event())
    recognizer = fallback(engine, ScriptedRecognizer(AWAY))
    async with recognizer.listen() as hearing:
        reading = asyncio.create_task(read(hearing))
        await engine.idle.wait()
        hearing.abort()
        assert texts(await reading) == [("what", False), ("what", True)]
    assert (engine.open, recognizer.choices[0].breaker.state) == (0, "closed")


async def test_a_ping_succeeds_where_one_of_them_answers() -> None:
    await fallback(ScriptedRecognizer(AWAY), ScriptedRecognizer()).ping()
    with pytest.raises(ProviderUnavailable):
        await fallback(ScriptedRecognizer(AWAY)).ping()


async def test_it_is_warm_where_one_of_them_is() -> None:
    class Cold(ScriptedRecognizer):
        async def warm(self) -> None:
            raise AWAY

    class Buggy(ScriptedRecognizer):
        async def warm(self) -> None:
            raise ValueError("a bug of a plug-in")

    await fallback(Cold(), ScriptedRecognizer()).warm()
    with pytest.raises(ProviderUnavailable):
        await fallback(Cold(), Cold()).warm()
    with pytest.raises(ValueError, match="plug-in"):
        await fallback(Cold(), Buggy(), ScriptedRecognizer()).warm()

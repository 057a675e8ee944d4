"""The mock recogniser, which is a real one."""

from hashlib import sha256

import pytest

from talksy.ai.stt import open_recognizer
from tests.unit.stt.script import SOUND, hear, texts

SAID = {"mock": {"transcripts": {sha256(SOUND).hexdigest(): "what time is it"}}}


@pytest.mark.parametrize("size", [1, 999, 32_000])
async def test_it_knows_what_was_said_by_its_sound_however_it_came(size: int) -> None:
    told = await hear(open_recognizer("mock", SAID), SOUND, size=size)
    assert texts(told) == [
        ("what", False),
        ("what time", False),
        ("what time is", False),
        ("what time is it", True),
    ]
    assert {each.provider for each in told} == {"mock"}
    assert told[-1].end_ms == 1_000


async def test_of_what_it_does_not_know_it_says_how_long_it_was() -> None:
    told = await hear(open_recognizer("mock", SAID), SOUND + SOUND[:8_000])
    assert told[-1].text == "I heard 1.2 seconds of sound."


async def test_what_is_too_short_to_be_a_word_is_none() -> None:
    assert texts(await hear(open_recognizer("mock"), SOUND[:3_000])) == [("", True)]

"""What it says, without a server: ``python -m pytest`` in this folder."""

import asyncio

import pytest
from talksy_echo import EchoModel

from talksy.ai.llm import Delta, LanguageModel, Part, Used
from talksy.errors import ProviderUnavailable
from talksy.messages import Prompt, Usage

TALK = [Prompt("system", "Be brief."), Prompt("user", "Good morning, echo")]


def answer(model: LanguageModel, prompts: list[Prompt]) -> list[Part]:
    async def collect() -> list[Part]:
        return [part async for part in model.stream(prompts)]

    return asyncio.run(collect())


def test_it_repeats_the_newest_message_word_by_word_and_says_what_it_cost() -> None:
    *words, used = answer(EchoModel(), TALK)
    assert words == [Delta("Good "), Delta("morning, "), Delta("echo")]
    assert used == Used(Usage(input_tokens=5, output_tokens=3))


def test_the_loud_one_shouts() -> None:
    assert answer(EchoModel(model="loud"), TALK)[0] == Delta("GOOD ")


def test_a_model_it_does_not_have_is_named() -> None:
    with pytest.raises(ValueError, match="not 'soft'"):
        EchoModel(model="soft")


def test_nothing_said_is_a_failure_of_the_vendor() -> None:
    with pytest.raises(ProviderUnavailable):
        answer(EchoModel(), [])

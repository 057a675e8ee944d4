"""The usual model, and those that a message may ask for."""

import pytest

from talksy.ai.llm import Answering, Models, Plan
from talksy.messages import Prompt


async def who(models: Models, name: str | None = None) -> Answering:
    model = models.others[name] if name else models.usual
    parts = [part async for part in model.stream([Prompt("user", "hi")])]
    assert isinstance(parts[0], Answering)
    return parts[0]


async def test_the_usual_one_stands_behind_what_was_asked_for() -> None:
    models = Models.open(Plan(usual=["mock:a", "mock:b"], others=["c", "mock:b"]))
    assert [choice.model.model for choice in models.choices] == ["a", "b", "c"]
    behind = [choice.model.model for choice in models.others["mock:b"].choices]
    assert behind == ["b", "a"]
    assert await who(models) == Answering("mock", "a", False)
    assert await who(models, "c") == Answering("mock", "c", False)
    await models.close()


async def test_a_model_is_opened_once_however_it_is_named() -> None:
    options = {"mock": {"model": "a"}}
    models = Models.open(Plan(usual=["mock"], others=["a", "mock:a"], options=options))
    assert len(models.choices) == 1


async def test_what_is_makeshift_says_so_under_any_name() -> None:
    models = Models.open(Plan(usual=["mock"], others=["b"], makeshift={"mock"}))
    assert (await who(models)).degraded
    assert (await who(models, "b")).degraded


def test_an_unknown_vendor_is_refused() -> None:
    with pytest.raises(ValueError, match='no model vendor "acme"'):
        Models.open(Plan(usual=["mock", "acme"]))

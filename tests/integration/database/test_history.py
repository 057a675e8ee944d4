"""What every database promises about what was said."""

from dataclasses import replace

import pytest

from talksy.database.history import PAGE_CHARS
from tests.integration.database.rows import NOW, Story


@pytest.fixture
async def told(story: Story) -> Story:
    """Three messages, each answered."""
    for number in (1, 2, 3):
        await story.end(await story.start(f"m{number}"))
    return story


async def test_history_is_the_newest_messages_oldest_first(told: Story) -> None:
    assert await told.texts() == ["m1", "re m1", "m2", "re m2", "m3", "re m3"]
    newest = await told.history.read("ses_1", 3)
    assert newest is not None
    assert [message.content for message in newest] == ["re m2", "m3", "re m3"]
    assert await told.history.read("ses_2", 3) == []


async def test_history_keeps_the_order_of_messages_whatever_the_clock_says(told: Story) -> None:
    told.now = NOW - 1_000
    await told.end(await told.start("m4"))
    assert (await told.texts())[-2:] == ["m4", "re m4"]


@pytest.mark.parametrize("page", [1, 2, 5])
async def test_pages_make_up_the_whole(told: Story, page: int) -> None:
    whole = await told.history.read("ses_1", 100)
    read = await told.history.read("ses_1", page)
    assert read
    while older := await told.history.read("ses_1", page, before=read[0].id):
        read = [*older, *read]
    assert read == whole


async def test_pages_lose_no_answer_of_a_message_tried_twice_in_a_moment(story: Story) -> None:
    first = await story.start("m1")
    story.now = NOW
    await story.end(first, "failed", "a")
    story.now = NOW - 1
    again = await story.start("m1", retry=True)
    story.now = NOW
    await story.end(again, text="b")
    newest = await story.history.read("ses_1", 1)
    assert newest
    older = await story.history.read("ses_1", 10, before=newest[0].id)
    assert older
    assert {newest[0].content, *(message.content for message in older)} == {"m1", "a", "b"}


async def test_a_page_before_no_message_of_the_session_is_none(told: Story) -> None:
    await told.start("m4")
    await told.say("m5")
    assert await told.history.read("ses_1", 10, before="unknown") is None
    assert await told.history.read("ses_2", 10, before="m1") is None
    assert await told.history.read("ses_1", 10, before="m5") is None, "it waits"
    assert await told.history.read("ses_1", 10, before="m1") == []


async def test_what_waits_is_neither_in_history_nor_in_a_context(told: Story) -> None:
    await told.start("m4")
    await told.say("m5")
    assert (await told.texts())[-1] == "m4"
    assert await told.history.count("ses_1") == 7
    assert (await told.context("m4"))[-1] == "m4"


async def test_a_context_ends_with_the_message_to_be_answered(told: Story) -> None:
    assert await told.context("m2") == ["m1", "re m1", "m2"]
    assert await told.context("m3", limit=2) == ["re m2", "m3"]


async def test_earlier_answers_to_the_same_message_are_not_in_its_context(story: Story) -> None:
    await story.end(await story.start("m1"), "failed", "half")
    await story.start("m1", retry=True)
    assert await story.context("m1") == ["m1"]
    assert await story.texts() == ["m1", "half"]


async def test_a_message_that_waits_for_another_try_stays_in_history(story: Story) -> None:
    """With what was answered to it before; it was acknowledged and shown."""
    await story.end(await story.start("m1"), "failed", "half")
    await story.start("m2")
    await story.say("m1", retry=True)
    assert await story.texts() == ["m2", "m1", "half"]
    assert await story.history.count("ses_1") == 3
    assert await story.context("m2") == ["m2"]


async def test_a_message_is_found_in_its_session_alone(told: Story) -> None:
    found = await told.history.find("ses_1", "m1")
    assert found is not None
    assert (found.role, found.content, found.created_at, found.interrupted) == (
        "user",
        "m1",
        NOW + 1,
        False,
    )
    assert await told.history.find("ses_2", "m1") is None


async def test_messages_are_counted_by_session(told: Story) -> None:
    await replace(told, session_id="ses_2").start("m1")
    assert await told.history.count("ses_1") == 6
    assert await told.history.count("ses_2") == 1
    assert await told.history.count("ses_3") == 0


async def test_a_page_of_long_messages_is_shorter_and_the_rest_is_behind_it(story: Story) -> None:
    for number in range(4):
        turn = await story.start(f"m{number}", text=str(number) * (PAGE_CHARS // 3))
        await story.end(turn, text="ok")
    newest = await story.history.read("ses_1", 100)
    assert newest
    assert [message.content[:2] for message in newest] == ["11", "ok", "22", "ok", "33", "ok"]
    older = await story.history.read("ses_1", 100, before=newest[0].id)
    assert [message.content[:2] for message in older or ()] == ["00", "ok"]


async def test_a_message_longer_than_a_page_is_a_page(story: Story) -> None:
    await story.start("m1", text="x" * (PAGE_CHARS + 1))
    assert [len(text) for text in await story.texts()] == [PAGE_CHARS + 1]


async def test_a_context_holds_what_begins_in_so_many_characters(told: Story) -> None:
    async def context(chars: int) -> list[str]:
        said = await told.history.context("ses_1", "m3", 100, chars)
        return [message.content for message in said]

    assert await context(1) == ["m3"]
    assert await context(3) == ["re m2", "m3"]
    assert await context(7) == ["re m2", "m3"]
    assert await context(8) == ["m2", "re m2", "m3"]

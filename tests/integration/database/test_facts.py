"""What every database promises about facts."""

import pytest
from sqlalchemy import insert

from talksy.database import Database
from talksy.database.facts import MOST_CHARS, MOST_FACTS, Facts
from talksy.database.tables import facts as table
from talksy.errors import ValidationError

NOW = 1_700_000_000_000


@pytest.fixture
def facts(database: Database) -> Facts:
    return Facts(database)


async def contents(facts: Facts, user: str = "usr_ada", query: str | None = None) -> list[str]:
    return [fact.content for fact in await facts.recall(user, query)]


async def test_facts_are_recalled_newest_first_with_where_and_when(facts: Facts) -> None:
    await facts.remember("usr_ada", "Likes tea.", "ses_1", NOW)
    fact_id = await facts.remember("usr_ada", "Has a cat.", "ses_2", NOW + 1)

    newest, oldest = await facts.recall("usr_ada")

    assert (newest.id, newest.content, newest.source) == (fact_id, "Has a cat.", "ses_2")
    assert (oldest.content, oldest.created_at) == ("Likes tea.", NOW)


async def test_every_word_that_is_asked_for_is_in_the_fact_whatever_its_case(facts: Facts) -> None:
    await facts.remember("usr_ada", "Ihr Bruder heißt ÖMER.", "ses_1", NOW)
    await facts.remember("usr_ada", "Her brother likes tea.", "ses_1", NOW + 1)

    assert await contents(facts, query="ömer BRUDER") == ["Ihr Bruder heißt ÖMER."]
    assert await contents(facts, query="brother coffee") == []
    assert len(await contents(facts, query="  ")) == 2


async def test_facts_are_their_users_alone(facts: Facts) -> None:
    await facts.remember("gst_1", "Likes tea.", "ses_1", NOW)

    assert await contents(facts, "gst_1") == ["Likes tea."]
    assert await contents(facts, "usr_ada", "tea") == []


async def test_no_more_is_recalled_than_is_asked_for(facts: Facts) -> None:
    for number in range(3):
        await facts.remember("usr_ada", f"fact {number}", "ses_1", NOW + number)

    recalled = await facts.recall("usr_ada", limit=2)

    assert [fact.content for fact in recalled] == ["fact 2", "fact 1"]


async def test_the_oldest_facts_make_room_for_new_ones(facts: Facts, database: Database) -> None:
    row = {"user_id": "usr_ada", "source": "ses_1"}
    rows = [
        {**row, "id": f"fct_{number}", "content": f"fact {number}", "created_at": NOW + number}
        for number in range(MOST_FACTS)
    ]
    await database.write(lambda connection: connection.execute(insert(table), rows).close())
    await facts.remember("usr_bob", "of somebody else", "ses_2", NOW)

    await facts.remember("usr_ada", "the newest", "ses_1", NOW + MOST_FACTS)

    kept = [fact.content for fact in await facts.recall("usr_ada", limit=MOST_FACTS + 1)]
    assert len(kept) == MOST_FACTS
    assert (kept[0], kept[-1]) == ("the newest", "fact 1")
    assert await contents(facts, "usr_bob") == ["of somebody else"]


async def test_a_fact_is_no_book(facts: Facts) -> None:
    with pytest.raises(ValidationError, match="2000 characters"):
        await facts.remember("usr_ada", "x" * (MOST_CHARS + 1), "ses_1", NOW)

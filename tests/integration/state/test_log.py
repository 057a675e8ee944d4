"""The log of turns, against the promise of its contract."""

import asyncio

import pytest

from talksy.state import READ_EVENTS, Appended, Nudge, Place
from tests.integration.state.conftest import Node, Turn

Pair = tuple[Node, Node]


@pytest.fixture
def turn(pair: Pair) -> Turn:
    return Turn(pair[0].log, pair[1].log)


async def test_what_one_node_appends_another_reads_by_number(turn: Turn) -> None:
    assert await turn.write(0, b"a", b"b") == Appended(2, 0)
    assert await turn.write(2, b"c") == Appended(3, 0)
    assert await turn.read() == [b"a", b"b", b"c"]
    assert await turn.read(2) == [b"c"]
    assert await turn.read(3) == []


async def test_a_turn_of_which_nothing_is_known_is_none(turn: Turn) -> None:
    assert await turn.read() is None
    await turn.write(0, b"a")
    assert await turn.read(2) is None


async def test_sending_the_same_again_changes_nothing(turn: Turn) -> None:
    await turn.follow()
    await turn.write(0, b"a", b"b")
    assert (await turn.write(0, b"a", b"b")).have == 2
    assert (await turn.write(1, b"b", b"c")).have == 3
    assert await turn.read() == [b"a", b"b", b"c"]
    assert [await turn.hear(), await turn.hear()] == [
        Nudge(turn.id, 0, (b"a", b"b")),
        Nudge(turn.id, 2, (b"c",)),
    ]


async def test_a_gap_cannot_be_written(turn: Turn) -> None:
    assert await turn.write(1, b"b") == Appended(0, 0)
    await turn.write(0, b"a")
    assert await turn.write(2, b"c") == Appended(1, 0)
    assert await turn.read() == [b"a"]


async def test_nothing_is_written_behind_an_ending(turn: Turn) -> None:
    await turn.write(0, b"a", b"end", final=True)
    assert (await turn.write(2, b"b")).have == 2
    assert (await turn.write(2, b"b", fence=2)).have == 2
    assert await turn.read() == [b"a", b"end"]


async def test_a_seal_shuts_out_those_who_wrote_before(turn: Turn) -> None:
    await turn.write(0, b"a")
    assert list(await turn.there.seal(turn.session, turn.id, 2)) == [b"a"]
    assert await turn.write(1, b"b") == Appended(-1, 0)
    assert (await turn.write(1, b"end", fence=2, final=True)).have == 2
    assert await turn.read() == [b"a", b"end"]


async def test_a_seal_of_nothing_shuts_them_out_too(turn: Turn) -> None:
    assert list(await turn.there.seal(turn.session, turn.id, 2)) == []
    assert (await turn.write(0, b"a")).have == -1
    assert await turn.read() == []


async def test_an_older_seal_opens_nothing(turn: Turn) -> None:
    await turn.there.seal(turn.session, turn.id, 3)
    await turn.here.seal(turn.session, turn.id, 2)
    assert (await turn.write(0, b"a", fence=2)).have == -1
    assert (await turn.write(0, b"a", fence=3)).have == 1


async def test_a_later_writer_is_taken_at_his_word(turn: Turn) -> None:
    await turn.write(0, b"a")
    assert (await turn.write(1, b"b", fence=2)).have == 2
    assert (await turn.write(2, b"c", fence=1)).have == -1


async def test_several_turns_go_in_one_trip(pair: Pair) -> None:
    turns = [Turn(pair[0].log, pair[1].log) for _ in range(3)]
    answers = await pair[0].log.append([turn.of(0, turn.id.encode()) for turn in turns])
    assert [answer.have for answer in answers] == [1, 1, 1]
    places = [Place(turn.session, turn.id, 0) for turn in turns]
    read = await pair[1].log.read([*places, Place("ses_none", "trn_none", 0)])
    assert [events and list(events) for events in read] == [
        *([turn.id.encode()] for turn in turns),
        None,
    ]


async def test_those_who_follow_are_counted_and_told(turn: Turn) -> None:
    await turn.follow()
    assert await turn.write(0, b"a") == Appended(1, 1)
    await turn.here.follow(turn.session, lambda _nudge: None)
    assert await turn.write(1, b"b") == Appended(2, 2)
    assert await turn.hear() == Nudge(turn.id, 0, (b"a",))
    assert await turn.hear() == Nudge(turn.id, 1, (b"b",))


async def test_who_follows_no_longer_is_not_told(turn: Turn) -> None:
    await turn.follow()
    told: asyncio.Queue[Nudge] = asyncio.Queue()
    await turn.here.follow(turn.session, told.put_nowait)
    turn.there.unfollow(turn.session)
    number = 0
    while (await turn.write(number, b"a")).listeners > 1:
        number += 1
    while (await told.get()).first < number:
        pass
    assert turn.heard.empty()


async def test_following_again_replaces_who_listened(turn: Turn) -> None:
    await turn.there.follow(turn.session, lambda _nudge: pytest.fail("it was replaced"))
    await turn.follow()
    assert (await turn.write(0, b"a")).listeners == 1
    assert (await turn.hear()).first == 0


async def test_who_comes_back_at_once_is_told(turn: Turn) -> None:
    for _ in range(3):
        await turn.follow()
        turn.there.unfollow(turn.session)
    await turn.follow()
    assert (await turn.write(0, b"a")).listeners == 1
    assert (await turn.hear()).first == 0


async def test_a_long_backlog_comes_in_portions(turn: Turn) -> None:
    events = [b"%d" % number for number in range(10_000)]
    assert (await turn.write(0, *events)).have == 10_000
    got: list[bytes] = []
    while part := await turn.read(len(got)):
        assert len(part) <= READ_EVENTS
        got += part
    assert got == events

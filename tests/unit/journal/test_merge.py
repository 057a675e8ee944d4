"""Deltas that come close together become one chunk, and none is hidden by a stall."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talksy.journal.merge import Merge
from talksy.wheel import Wheel
from tests.integration.database.opened import until

HOUR = 3_600_000


class Taken(list[str]):
    """What was given on; ``more`` waits for as many."""

    def __init__(self) -> None:
        super().__init__()
        self._news = asyncio.Event()

    def append(self, text: str) -> None:
        super().append(text)
        self._news.set()

    async def more(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self) < count:
                self._news.clear()
                await self._news.wait()


async def test_the_first_delta_is_given_on_at_once_with_what_comes_in_the_same_turn() -> None:
    taken = Taken()
    merge = Merge(taken.append, HOUR, 1_000, Wheel(0.001))
    merge.push("a")
    merge.push("b")
    assert taken == []
    await asyncio.sleep(0)
    assert taken == ["ab"]
    merge.push("c")
    await asyncio.sleep(0)
    assert taken == ["ab"], "what comes later waits"
    merge.close()


async def test_what_was_void_is_not_given_on_in_the_next_turn() -> None:
    taken = Taken()
    merge = Merge(taken.append, HOUR, 1_000, Wheel(0.001))
    merge.push("a")
    merge.drop()
    await asyncio.sleep(0)
    merge.push("b")
    await asyncio.sleep(0)
    assert taken == ["b"]
    merge.close()


async def test_what_is_held_is_given_on_although_nothing_more_comes() -> None:
    taken = Taken()
    merge = Merge(taken.append, 5, 1_000, Wheel(0.001))
    merge.push("a")
    await taken.more(1)
    merge.push("b")
    merge.push("c")
    await taken.more(2)
    assert taken == ["a", "bc"]
    merge.close()


async def test_after_a_pause_the_next_delta_is_given_on_at_once_again() -> None:
    taken = Taken()
    merge = Merge(taken.append, 1, 1_000, Wheel(0.001))
    merge.push("a")
    await taken.more(1)
    # A wait ends without anything held, and no other begins.
    await until(lambda: not merge.due)
    merge.push("b")
    await asyncio.sleep(0)
    assert taken == ["a", "b"]
    merge.close()


@pytest.mark.parametrize(("text", "size"), [("ab", 4), ("ä", 4), ("😀", 8)])
async def test_a_long_chunk_waits_no_longer(text: str, size: int) -> None:
    taken = Taken()
    merge = Merge(taken.append, HOUR, size, Wheel(0.001))
    merge.push("f")
    await taken.more(1)
    merge.push(text)
    await asyncio.sleep(0)
    assert taken == ["f"]
    merge.push(text)
    assert taken == ["f", text * 2], "counted in bytes"
    merge.close()


@pytest.mark.parametrize(("ms", "size"), [(0, 64), (30, 0), (0, 0)])
def test_zero_turns_it_off(ms: int, size: int) -> None:
    taken = Taken()
    merge = Merge(taken.append, ms, size, Wheel(0.001))
    for text in "abc":
        merge.push(text)
    assert taken == ["a", "b", "c"]
    merge.close()
    assert taken == ["a", "b", "c"]


async def test_closing_gives_on_what_is_held_once() -> None:
    taken = Taken()
    merge = Merge(taken.append, HOUR, 1_000, Wheel(0.001))
    merge.push("a")
    await taken.more(1)
    merge.push("b")
    merge.close()
    merge.close()
    assert taken == ["a", "b"]
    merge.push("c")
    merge.close()
    await asyncio.sleep(0)
    assert taken == ["a", "b", "c"], "also what was to be given on in the next turn"


PUSHES = st.lists(st.tuples(st.text(min_size=1, max_size=9), st.booleans()), max_size=30)


@settings(max_examples=40, deadline=None)
@given(PUSHES, st.integers(0, 1), st.integers(0, 20))
def test_nothing_is_lost_doubled_or_moved(
    pushes: list[tuple[str, bool]], ms: int, size: int
) -> None:
    async def push_all() -> list[str]:
        taken: list[str] = []
        merge = Merge(taken.append, ms, size, Wheel(0.001))
        for text, pause in pushes:
            merge.push(text)
            if pause:
                await asyncio.sleep(0)
        merge.close()
        return taken

    taken = asyncio.run(push_all())
    assert "".join(taken) == "".join(text for text, _ in pushes)
    assert all(taken)

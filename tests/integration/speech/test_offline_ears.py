"""Pocketsphinx, in processes of its own."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

import pytest
import pytest_asyncio

from talksy.ai.stt import LONGEST_MS, Recognizer, open_recognizer
from talksy.ai.stt.sphinx import SphinxRecognizer, pool
from talksy.audio import size_of
from talksy.errors import Overloaded, ProviderTimeout, ProviderUnavailable
from tests.clips import clips
from tests.postgres import missing
from tests.unit.stt.script import SOUND, hear, read, texts

pytestmark = pytest.mark.asyncio(loop_scope="module")
QUESTION = clips()["what_time_is_it"].pcm
GRAMMAR = "#JSGF V1.0;\ngrammar all;\npublic <all> = (what | which) time is it | go away;\n"


@asynccontextmanager
async def warm(**options: Any) -> AsyncIterator[SphinxRecognizer]:
    """One that is ready to listen."""
    try:
        recognizer = SphinxRecognizer(**options)
    except ProviderUnavailable as error:
        missing(f"{error.hint}. TALKSY_REQUIRE_REAL=0 skips.")
    try:
        await recognizer.warm()
        yield recognizer
    finally:
        await recognizer.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[SphinxRecognizer]:
    """For tests that leave it as it was: its process takes a second to start."""
    async with warm(workers=1, queue=2) as recognizer:
        yield recognizer


@pytest_asyncio.fixture(loop_scope="module")
async def own() -> AsyncIterator[SphinxRecognizer]:
    """For tests that break it."""
    async with warm(workers=1, queue=2) as recognizer:
        yield recognizer


def pids(recognizer: SphinxRecognizer) -> list[int]:
    return [worker.pid for worker in recognizer.pool.workers]


async def gone(pid: int) -> None:
    """Returns when a process has ended and was buried."""
    while True:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        await asyncio.sleep(0.01)


async def sure(recognizer: Recognizer, *phrases: str) -> str:
    """The final of the question, with phrases to listen for."""
    async with recognizer.listen(phrases=phrases) as hearing:
        hearing.push(QUESTION)
        hearing.end()
        return (await read(hearing))[-1].text


# ---- what it hears


async def test_it_reads_the_question_exactly(shared: SphinxRecognizer) -> None:
    told = await hear(shared, QUESTION)
    assert (told[-1].text, told[-1].final) == ("what time is it", True)
    assert len(told) > 2
    (start, end) = clips()["what_time_is_it"].utterances[0]
    assert (told[-1].start_ms, told[-1].end_ms) == pytest.approx((start, end), abs=64)
    assert 0 < (told[-1].confidence or 0) <= 1
    assert told[-1].provider == "offline"


async def test_it_is_the_same_however_it_came_and_whoever_spoke_before(
    shared: SphinxRecognizer,
) -> None:
    first = await hear(shared, QUESTION, size=224)
    await hear(shared, clips()["white_noise_1s"].pcm)
    await hear(shared, clips()["negative_hey_marcus"].pcm)
    assert await hear(shared, QUESTION, size=3_201) == first


@pytest.mark.parametrize("name", ["silence_1s", "cough_noise"])
async def test_what_is_no_word_is_none(shared: SphinxRecognizer, name: str) -> None:
    assert texts(await hear(shared, clips()[name].pcm)) == [("", True)]


@pytest.mark.parametrize("pcm", [b"", b"\x01", b"\x01\x02", SOUND[:100]])
async def test_hardly_any_sound_is_no_word_either(shared: SphinxRecognizer, pcm: bytes) -> None:
    assert texts(await hear(shared, pcm)) == [("", True)]


async def test_phrases_make_it_quick_and_count_for_one_utterance(
    shared: SphinxRecognizer,
) -> None:
    assert await sure(shared, "What time is it?", "Go away!") == "what time is it"
    assert await sure(shared, "zyxt time", "what;time <is> = it") == "what time is it"
    assert await sure(shared) == "what time is it"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"grammar": GRAMMAR}, "what time is it"),
        ({"keyphrases": {"time": 1e-10}}, "time"),
        ({"keyphrases": {"what time": 1e-20, "is it": 1e-10}}, "what time is it"),
        ({"keyphrases": {"go away": None, "what time is it": None}}, "what time is it"),
    ],
)
async def test_it_may_listen_for_little(options: dict[str, Any], text: str) -> None:
    async with warm(workers=1, **options) as recognizer:
        assert await sure(recognizer) == text


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"grammar": "nonsense"}, "cannot listen for what it was told to"),
        ({"keyphrases": {"zyxt time": None, "go qwop": 1e-9}}, "does not have zyxt, qwop"),
    ],
)
async def test_what_it_cannot_listen_for_is_told_at_the_start(
    options: dict[str, Any], hint: str
) -> None:
    recognizer = open_recognizer("offline", {"offline": {**options, "workers": 1}})
    with pytest.raises(ProviderUnavailable) as raised:
        await recognizer.warm()
    assert hint in str(raised.value.hint)
    with pytest.raises(ProviderUnavailable):
        await hear(recognizer, QUESTION)
    await recognizer.close()


# ---- what may have been all of it


async def test_a_pause_in_which_the_end_is_worked_out_changes_nothing(
    shared: SphinxRecognizer,
) -> None:
    wanted = await hear(shared, QUESTION)
    (pid,) = pids(shared)
    async with shared.listen() as hearing:
        reading = asyncio.create_task(read(hearing))
        for at in range(0, len(QUESTION), 3_200):
            hearing.push(QUESTION[at : at + 3_200])
            if at == 6 * 3_200:
                hearing.pause()
                await copies(pid, 1)
            if at == 7 * 3_200:
                await copies(pid, 0)
        hearing.pause()
        await copies(pid, 1)
        hearing.end()
        assert (await reading)[-1] == wanted[-1]
    await copies(pid, 0)
    assert await hear(shared, QUESTION) == wanted


async def test_where_the_copy_dies_the_end_is_found_all_the_same(shared: SphinxRecognizer) -> None:
    wanted = await hear(shared, QUESTION)
    (pid,) = pids(shared)
    async with shared.listen() as hearing:
        hearing.push(QUESTION)
        hearing.pause()
        reading = asyncio.create_task(read(hearing))
        (copy,) = await copies(pid, 1)
        os.kill(copy, signal.SIGKILL)
        hearing.end()
        assert (await reading)[-1] == wanted[-1]


async def test_who_goes_in_a_pause_leaves_the_process_to_the_next(shared: SphinxRecognizer) -> None:
    (pid,) = pids(shared)
    async with shared.listen() as hearing:
        hearing.push(QUESTION)
        hearing.pause()
        reading = asyncio.create_task(read(hearing))
        await copies(pid, 1)
        hearing.abort()
        assert (await reading)[-1].text
    assert await sure(shared) == "what time is it"
    await copies(pid, 0)


async def copies(pid: int, count: int) -> list[int]:
    """The processes that a process has begun, when there are so many."""
    while True:
        process = await asyncio.create_subprocess_exec(
            *("pgrep", "-P", str(pid)), stdout=asyncio.subprocess.PIPE
        )
        told, _ = await process.communicate()
        if len(found := [*map(int, told.split())]) == count:
            return found


# ---- how much of it


async def test_too_many_at_once_are_refused_early(shared: SphinxRecognizer) -> None:
    async with shared.listen() as first, shared.listen() as second, shared.listen() as third:
        waiting = [asyncio.create_task(read(each)) for each in (first, second, third)]
        await asyncio.sleep(0)
        began = monotonic()
        with pytest.raises(Overloaded):
            await hear(shared)
        assert monotonic() - began < 0.5
        for each in (first, second, third):
            each.push(QUESTION)
            each.end()
        told = await asyncio.gather(*waiting)
    assert [each[-1].text for each in told] == ["what time is it"] * 3


async def test_who_waits_too_long_is_refused(
    shared: SphinxRecognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "WAIT_SECONDS", 0.05)
    async with shared.listen() as first:
        waiting = asyncio.create_task(read(first))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await hear(shared)
        first.end()
        assert texts(await waiting) == [("", True)]


async def test_whoever_is_cut_off_leaves_the_process_to_the_next(
    shared: SphinxRecognizer,
) -> None:
    before = pids(shared)
    for _ in range(3):
        async with shared.listen() as hearing:
            hearing.push(QUESTION)
            assert not (await anext(hearing)).final
            hearing.abort()
            assert (await read(hearing))[-1].text
    assert await sure(shared) == "what time is it"
    assert pids(shared) == before


async def test_what_is_as_long_as_may_be_does_not_make_a_process_grow() -> None:
    async with warm(workers=1, grammar=GRAMMAR) as recognizer:
        (pid,) = pids(recognizer)
        sizes = []
        for _ in range(3):
            await hear(recognizer, bytes(size_of(LONGEST_MS)), size=32_000)
            sizes.append(await _megabytes(pid))
        assert await sure(recognizer) == "what time is it"
    assert max(sizes) - sizes[0] < 5


async def _megabytes(pid: int) -> float:
    """The memory of a process."""
    process = await asyncio.create_subprocess_exec(
        *("ps", "-o", "rss=", "-p", str(pid)), stdout=asyncio.subprocess.PIPE
    )
    told, _ = await process.communicate()
    return int(told) / 1_024


# ---- what goes wrong


async def test_a_killed_process_costs_its_utterance_alone(own: SphinxRecognizer) -> None:
    (pid,) = pids(own)
    async with own.listen() as hearing:
        hearing.push(QUESTION)
        await anext(hearing)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(ProviderUnavailable):
            await read(hearing)
    assert await sure(own, "what time is it") == "what time is it"
    assert pids(own) != [pid]


async def test_a_process_that_died_while_nobody_spoke_costs_nothing(own: SphinxRecognizer) -> None:
    (pid,) = pids(own)
    os.kill(pid, signal.SIGKILL)
    assert await sure(own, "what time is it") == "what time is it"
    await gone(pid)


async def test_a_process_that_hangs_is_killed_and_replaced(
    own: SphinxRecognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pid,) = pids(own)
    async with own.listen() as hearing:
        hearing.push(QUESTION)
        await anext(hearing)
        monkeypatch.setattr(pool, "HANG_SECONDS", 0.2)
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(ProviderTimeout):
            await read(hearing)
    monkeypatch.undo()
    await gone(pid)
    assert await sure(own, "what time is it") == "what time is it"


async def test_closing_leaves_no_process(own: SphinxRecognizer) -> None:
    (pid,) = pids(own)
    async with own.listen() as hearing:
        reading = asyncio.create_task(read(hearing))
        await asyncio.sleep(0)
        await own.close()
        await gone(pid)
        hearing.push(QUESTION)
        with pytest.raises(ProviderUnavailable):
            await reading
    with pytest.raises(ProviderUnavailable):
        await hear(own)


async def test_an_interrupt_from_the_terminal_is_the_servers_to_act_on(
    shared: SphinxRecognizer,
) -> None:
    (pid,) = pids(shared)
    os.kill(pid, signal.SIGINT)
    assert await sure(shared, "what time is it") == "what time is it"
    assert pids(shared) == [pid]

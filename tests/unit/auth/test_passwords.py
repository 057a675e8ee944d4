"""Passwords in their bounded pool."""

import asyncio
import os
import sys
import threading
import time
from collections.abc import AsyncIterator

import pytest

from talksy.auth import Passwords
from talksy.auth.passwords import PATIENCE_SECONDS
from talksy.errors import Overloaded


@pytest.fixture
async def passwords() -> AsyncIterator[Passwords]:
    async with Passwords(rounds=4, threads=1, waiting=1) as opened:
        yield opened


async def test_a_password_matches_its_own_hash_alone(passwords: Passwords) -> None:
    hashed = await passwords.hash("Secret123")
    assert hashed.startswith("$2b$04$")
    assert await passwords.check("Secret123", hashed)
    assert not await passwords.check("Secret124", hashed)


async def test_a_hash_is_current_while_it_costs_what_a_new_one_would(passwords: Passwords) -> None:
    hashed = await passwords.hash("Secret123")
    assert passwords.current(hashed)
    assert not Passwords(rounds=5).current(hashed)


async def test_an_account_that_does_not_exist_costs_a_check_of_the_same_rounds(
    passwords: Passwords,
) -> None:
    before = passwords.completed
    assert not await passwords.check("Secret123", None)
    assert passwords.completed == before + 1
    assert passwords._dummy.startswith(b"$2b$04$")


async def test_a_wrong_password_takes_as_long_where_the_hash_is_a_cheaper_one(
    passwords: Passwords,
) -> None:
    """Each round doubles the work: unmended it would be a 32nd."""
    cheap = await passwords.hash("Secret123")
    async with Passwords(rounds=9, threads=1) as dearer:
        taken = {hashed: await least(dearer, hashed) for hashed in (cheap, None)}
    assert taken[None] / 2 < taken[cheap] < taken[None] * 2


async def least(passwords: Passwords, hashed: str | None) -> float:
    """The CPU time of a wrong password at its best, in seconds."""

    def seconds() -> float:
        started = time.thread_time()
        assert not passwords._compare(b"Wrong123", (hashed or passwords._dummy.decode()).encode())
        return time.thread_time() - started

    return min([seconds() for _ in range(5)])


@pytest.mark.parametrize("password", ["x" * 73, "x" * 100_000, "\ud800", "a\0b"])
async def test_a_password_that_can_not_be_right_costs_a_check_too(
    passwords: Passwords, password: str
) -> None:
    hashed = await passwords.hash("")
    before = passwords.completed
    assert not await passwords.check(password, hashed)
    assert passwords.completed == before + 1


async def test_beyond_the_queue_it_says_overloaded_and_takes_work_again_after(
    passwords: Passwords,
) -> None:
    gate = threading.Event()
    running = asyncio.create_task(passwords._run(gate.wait))
    waiting = asyncio.create_task(passwords.hash("Secret123"))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded) as refused:
        await passwords.hash("Secret123")
    assert refused.value.retry_after == 1
    gate.set()
    await asyncio.gather(running, waiting)
    assert await passwords.hash("Secret123")


async def test_who_would_wait_longer_than_a_person_does_is_told_so_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a busy machine a hash takes long, and fewer may wait for it."""
    monkeypatch.setattr("talksy.auth.passwords.PATIENCE_SECONDS", 0.02)
    gate = threading.Event()
    async with Passwords(rounds=4, threads=1, waiting=9) as passwords:
        await passwords._run(lambda: gate.wait(0.1))
        running = asyncio.create_task(passwords._run(gate.wait))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await passwords.hash("Secret123")
        assert passwords.refused == 1
        monkeypatch.setattr("talksy.auth.passwords.RECENT_SECONDS", 0.0)
        later = asyncio.create_task(passwords.hash("Secret123"))
        await asyncio.sleep(0)
        gate.set()
        assert await later, "a machine that was busy once is not taken for busy for ever"
        await running


async def test_a_machine_that_is_full_shows_before_a_hash_has_ended(
    passwords: Passwords,
) -> None:
    gate, started = threading.Event(), threading.Event()

    def work() -> None:
        started.set()
        gate.wait()

    running = asyncio.create_task(passwords._run(work))
    await asyncio.to_thread(started.wait)
    now = time.monotonic()
    assert passwords._pace(now) < PATIENCE_SECONDS < passwords._pace(now + 10 * PATIENCE_SECONDS)
    gate.set()
    await running


async def test_a_few_at_once_are_served_where_there_is_time_for_them() -> None:
    async with Passwords(rounds=6) as passwords:
        await asyncio.gather(*(passwords.hash("Secret123") for _ in range(10)))
        assert passwords.refused == 0


async def test_who_was_let_wait_has_its_turn_however_late(
    passwords: Passwords, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    running = asyncio.create_task(passwords._run(gate.wait))
    waiting = asyncio.create_task(passwords.hash("Secret123"))
    await asyncio.sleep(0)
    monkeypatch.setattr("talksy.auth.passwords.PATIENCE_SECONDS", 0.001)
    with pytest.raises(Overloaded):
        passwords.must_have_room()
    gate.set()
    assert await waiting
    await running


async def test_whose_turn_does_not_come_is_told_so(
    passwords: Passwords, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("talksy.auth.passwords.LONGEST_SECONDS", 0.02)
    gate = threading.Event()
    running = asyncio.create_task(passwords._run(gate.wait))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await passwords.hash("Secret123")
    assert passwords.refused == 1
    gate.set()
    await running


@pytest.mark.skipif(sys.platform != "linux", reason="a priority is a process's elsewhere")
async def test_who_hashes_lets_others_go_first(passwords: Passwords) -> None:
    def nice() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    assert await passwords._run(nice) == 19
    assert nice() < 19, "the loop goes on as it was"


async def test_who_gives_up_waiting_frees_the_place(passwords: Passwords) -> None:
    gate = threading.Event()
    running = asyncio.create_task(passwords._run(gate.wait))
    waiting = asyncio.create_task(passwords.hash("Secret123"))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    next_one = asyncio.create_task(passwords.hash("Secret123"))
    await asyncio.sleep(0)
    gate.set()
    assert await next_one
    await running


async def test_who_gives_up_on_a_running_thread_does_not_free_its_place(
    passwords: Passwords,
) -> None:
    gate, started = threading.Event(), threading.Event()

    def work() -> None:
        started.set()
        gate.wait()

    running = asyncio.create_task(passwords._run(work))
    await asyncio.to_thread(started.wait)
    running.cancel()
    await asyncio.wait([running])
    waiting = asyncio.create_task(passwords.hash("Secret123"))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await passwords.hash("Secret123")
    gate.set()
    assert await waiting


async def test_closed_it_leaves_no_thread_behind() -> None:
    async with Passwords(rounds=4) as passwords:
        await passwords.hash("Secret123")
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("bcrypt")]

"""What every test must leave behind: no task, no unheard failure, no loop that stood still."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest

from tests import contract

BUSY_SECONDS = 1.0
"""A callback may not compute longer than this. It is the thread's own time, so that a machine under
load fails no test."""
STILL_SECONDS = 3.0
"""Nor may it wait longer than this without letting the loop go on."""
GRACE_SECONDS = 0.5
"""How long tasks that were told to end may take to do so."""

_blocked: list[str] = []
_run = asyncio.Handle._run


def _timed(handle: asyncio.Handle) -> None:
    began, worked = time.monotonic(), time.thread_time()
    _run(handle)
    worked, took = time.thread_time() - worked, time.monotonic() - began
    if worked > BUSY_SECONDS or took > STILL_SECONDS:
        _blocked.append(
            f"{handle} held the loop for {took:.1f} s, {worked:.1f} s of them computing"
        )


# The loop's debug mode tells as much, and slows everything down to do so.
asyncio.Handle._run = _timed  # type: ignore[method-assign, assignment]


@pytest.fixture(autouse=True, scope="module")
def garbage_is_this_modules_own() -> None:
    """What thousands of tests have left is not gone through again in the middle of a callback."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def loop_goes_on() -> Iterator[None]:
    """Fails a test in which a callback blocked the loop."""
    _blocked.clear()
    yield
    if _blocked:
        pytest.fail("\n".join(_blocked), pytrace=False)


@pytest.fixture(autouse=True, scope="session")
def contracts_read() -> None:
    """They are long: the first test that meets one does not stand still for it."""
    contract.rest()
    contract.sockets()


_read, _start = aiohttp.ClientResponse.read, aiohttp.ClientResponse.start


async def _started(answer: aiohttp.ClientResponse, connection: Any) -> aiohttp.ClientResponse:
    started = await _start(answer, connection)
    contract.check_answer(started, None)
    return started


async def _checked(answer: aiohttp.ClientResponse) -> bytes:
    body = await _read(answer)
    contract.check_answer(answer, body)
    return body


# Every test that speaks HTTP is a test of the contract, whatever it is about.
aiohttp.ClientResponse.start = _started  # type: ignore[method-assign, assignment]
aiohttp.ClientResponse.read = _checked  # type: ignore[method-assign, assignment]


@pytest.fixture(autouse=True)
def contracts_kept() -> Iterator[None]:
    """Fails a test in which a client was given what the contracts do not have."""
    contract.violations.clear()
    yield
    if contract.violations:
        pytest.fail("\n".join(contract.violations), pytrace=False)


@pytest.fixture(autouse=True)
def nothing_left(request: pytest.FixtureRequest) -> None:
    """Applies ``clean_loop`` to the tests that have a loop."""
    if request.node.get_closest_marker("asyncio") is not None:
        request.getfixturevalue("clean_loop")


@pytest.fixture
async def clean_loop() -> AsyncIterator[None]:
    """Fails a test that leaves tasks, or a failure that nobody awaited."""
    loop = asyncio.get_running_loop()
    before, unheard = asyncio.all_tasks(), list[dict[str, Any]]()
    loop.set_exception_handler(lambda _loop, context: unheard.append(context))
    yield
    mine = asyncio.current_task()
    if tasks := asyncio.all_tasks() - before - {mine}:
        await asyncio.wait(tasks, timeout=GRACE_SECONDS)
    left = [task for task in tasks if not task.done()]
    told = [f"left running: {task!r}" for task in left]
    for task in left:
        task.cancel()
    loop.set_exception_handler(None)
    told += [f"unheard: {context['message']} {context.get('exception')!r}" for context in unheard]
    if told:
        pytest.fail("\n".join(told), pytrace=False)

"""Logs in memory are forgotten as those in Redis are."""

from talksy.state import Append, MemoryHub, MemoryLog, Place
from talksy.state.base import ENDED_MS, RUNNING_MS


class Time:
    """A clock that is set by hand."""

    now = 0

    def __call__(self) -> int:
        return self.now


async def test_a_turn_is_forgotten_a_while_after_its_last_event_and_sooner_once_it_ended() -> None:
    time = Time()
    log = MemoryLog(MemoryHub(time))
    await log.append([Append("ses_1", "trn_1", 1, 0, [b"a"])])
    await log.append([Append("ses_1", "trn_2", 1, 0, [b"a"], final=True)])
    places = [Place("ses_1", "trn_1", 0), Place("ses_1", "trn_2", 0)]
    time.now = ENDED_MS
    assert await log.read(places) == [(b"a",), None]
    time.now = RUNNING_MS
    assert await log.read(places) == [None, None]


async def test_what_is_forgotten_takes_no_memory_for_long() -> None:
    time = Time()
    hub = MemoryHub(time)
    log = MemoryLog(hub)
    for number in range(100):
        await log.append([Append("ses_1", f"trn_{number}", 1, 0, [b"a"], final=True)])
    time.now = ENDED_MS
    for number in range(51):
        await log.append([Append("ses_2", "trn_2", 1, number, [b"a"])])
    assert len(hub) == 1

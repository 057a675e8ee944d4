"""What a node knows of its own state."""

import asyncio
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from talksy.ai.llm import Choice, LanguageModel, Unwatched
from talksy.ai.llm.breaker import FAILURES
from talksy.ai.stt import open_recognizer
from talksy.database import Database
from talksy.database.sqlite import File
from talksy.errors import ProviderUnavailable
from talksy.health import NodeHealth
from talksy.ratelimit import Limiter
from talksy.state import MemoryWindows, Place
from talksy.state.redis import RedisState
from tests.integration.database.opened import until
from tests.integration.gateway.rig import Cast, House, opened
from tests.redis import running_redis
from tests.unit.tts.script import ScriptedSynthesizer


class Vendor(Cast):
    """A model whose vendor can be reached until ``fault`` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.fault: Exception | None = None
        self.asked_for_life = 0

    async def ping(self) -> None:
        self.asked_for_life += 1
        if self.fault is not None:
            raise self.fault


def health(
    house: House, *models: LanguageModel, state: RedisState | None = None, **engines: Any
) -> NodeHealth:
    return NodeHealth(
        gateway=house.gateway,
        database=house.database,
        journal=house.journal,
        limiter=Limiter(MemoryWindows(house.clock, house.clock)),
        models=[Choice(model, watcher=Unwatched()) for model in models],
        state=state,
        **engines,
    )


async def states(checked: NodeHealth) -> dict[str, str]:
    return {name: part["state"] for name, part in (await checked.detailed()).items()}


async def test_a_node_that_serves_is_ready_and_says_what_it_does(house: House) -> None:
    checked = health(house, Vendor())
    line, connection = await house.join()
    house.cast.play("hi", "hel", asyncio.Event())
    await line.said(await house.say(connection, "hi"), "hel")
    assert checked.live()
    assert await checked.ready() == "ok"
    assert checked.connections() == 1
    parts = await checked.detailed()
    assert {part["state"] for part in parts.values()} == {"ok"}
    assert (parts["sessions"]["connections"], parts["sessions"]["runningTurns"]) == (1, 1)
    assert parts["memory"]["peakBytes"] > 1_000_000
    assert parts["providers"]["provider"] == "cast"


async def test_a_draining_node_is_not_ready(house: House) -> None:
    await house.gateway.drain(0)
    checked = health(house, Vendor())
    assert checked.live()
    assert await checked.ready() == "down"
    assert (await states(checked))["sessions"] == "degraded"


async def test_a_vendor_that_is_away_degrades_a_node_that_stays_ready(house: House) -> None:
    vendor = Vendor()
    vendor.fault = ProviderUnavailable()
    checked = health(house, vendor)
    assert (await states(checked))["providers"] == "degraded"
    assert await checked.ready() == "ok"


async def test_each_model_is_shown_and_only_the_first_degrades_the_node(house: House) -> None:
    first, second = Vendor(), Vendor()
    second.fault = ProviderUnavailable()
    checked = health(house, first, second)
    said = (await checked.detailed())["providers"]
    assert (said["state"], said["breaker"]) == ("ok", "closed")
    assert [each["state"] for each in said["models"]] == ["ok", "degraded"]
    assert ["latencyMs" in each for each in said["models"]] == [True, False]


async def test_who_hears_and_speaks_is_shown_and_degrades_nothing(house: House) -> None:
    hearer, speaker = open_recognizer("mock"), ScriptedSynthesizer()
    checked = health(
        house,
        Vendor(),
        hearers=[Choice(hearer, watcher=Unwatched())],
        speakers=[Choice(speaker, watcher=Unwatched())],
    )
    said = (await checked.detailed())["providers"]
    assert (said["state"], len(said["models"])) == ("ok", 1)
    (stt,), (tts,) = said["stt"], said["tts"]
    assert (stt["provider"], stt["model"], stt["state"], stt["breaker"]) == (
        *("mock", "mock"),
        *("ok", "closed"),
    )
    assert (tts["provider"], "latencyMs" in tts) == ("script", True)


async def test_an_open_breaker_is_seen_at_once(house: House) -> None:
    checked = health(house, Vendor())
    await checked.detailed()
    (choice,) = checked._models
    for _ in range(FAILURES):
        entry = choice.breaker.enter(0.0)
        assert entry is not None
        entry.failed(ProviderUnavailable(), 0.0)
    said = (await checked.detailed())["providers"]
    assert (said["state"], said["breaker"]) == ("degraded", "open")


async def test_a_vendor_is_asked_rarely_whoever_looks(house: House) -> None:
    vendor = Vendor()
    checked = health(house, vendor)
    for _ in range(5):
        await checked.detailed()
    assert vendor.asked_for_life == 1


async def test_a_node_that_holds_too_much_says_so(house: House) -> None:
    checked = health(house, Vendor())
    line, connection = await house.join()
    house.journal._keep = replace(house.journal._keep, bytes=1)
    house.cast.play("hi", "hel", asyncio.Event())
    await line.said(await house.say(connection, "hi"), "hel")
    await until(lambda: house.journal.full)
    assert (await states(checked))["storage"] == "degraded"


async def test_a_clock_of_the_database_that_is_far_off_degrades_a_node(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("talksy.database.engine.time", lambda: time.time() - 60)
    checked = health(house, Vendor())
    said = (await checked.detailed())["database"]
    assert (said["state"], said["clockAheadMs"] > 59_000, said["nodes"]) == ("degraded", True, 1)
    assert await checked.ready() == "ok"


# ---- Redis


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis is asked often, and given up soon."""
    monkeypatch.setattr("talksy.state.redis.listener.PROBE_SECONDS", 0.02)
    monkeypatch.setattr("talksy.state.redis.lines.ANSWER_SECONDS", 0.3)


async def test_without_redis_nothing_is_amiss(house: House) -> None:
    storage = (await health(house, Vendor()).detailed())["storage"]
    assert (storage["kind"], storage["redis"]) == ("memory", {"state": "ok", "configured": False})


@pytest.mark.usefixtures("hasty")
async def test_while_redis_hangs_a_node_stays_ready_and_probes_stay_quick(house: House) -> None:
    with running_redis() as redis:
        async with RedisState.open(redis.url, node="node_a") as state:
            checked = health(house, Vendor(), state=state)
            await until(lambda: state.stats().latency is not None and state.stats().hears)
            storage = (await checked.detailed())["storage"]
            assert (storage["kind"], storage["state"], storage["redis"]["hears"]) == (
                "redis",
                "ok",
                True,
            )
            assert storage["redis"]["latencyMs"] > 0
            redis.pause()
            await until(lambda: state.stats().away_seconds is not None)
            began = time.monotonic()
            assert await checked.ready() == "degraded"
            said = (await checked.detailed())["storage"]["redis"]
            assert time.monotonic() - began < 0.2
            assert (said["state"], said["limitsLocal"]) == ("degraded", True)
            assert said["awaySeconds"] >= 0
            redis.resume()
            await until(lambda: state.stats().away_seconds is None and state.stats().hears)
            assert await checked.ready() == "ok"


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("fault", ["full", "replica"])
async def test_a_redis_that_takes_no_writes_is_away_until_it_does(house: House, fault: str) -> None:
    """It answers all the time, and reads and words go through."""
    full = (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0"))
    replica = (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE"))
    with running_redis() as redis:
        async with RedisState.open(redis.url, node="node_a") as state:
            await until(lambda: state.stats().latency is not None)
            broken, mended = full if fault == "full" else replica
            redis.ask(*broken)
            with capture_logs() as logs:
                await until(lambda: state.stats().away_seconds is not None)
                for _ in range(5):
                    await state.log.read([Place("ses_1", "trn_1", 0)])
                    assert await health(house, Vendor(), state=state).ready() == "degraded"
                    await asyncio.sleep(0.02)
            assert [line["event"] for line in logs].count("redis_away") == 1
            redis.ask(*mended)
            await until(lambda: state.stats().away_seconds is None)


@pytest.mark.parametrize("damage", ["gone", "broken"])
async def test_a_node_without_its_database_is_not_ready(
    tmp_path: Path, template: Path, damage: str
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    path = Path(shutil.copy(template, home / "talksy.db"))
    async with (
        Database.open(f"sqlite:///{path}", upgrade=False) as database,
        opened(database) as house,
    ):
        checked = health(house, Vendor())
        assert await checked.ready() == "ok"
        assert isinstance(database.store, File)
        for connection in database.store._connections:
            connection.invalidate()  # what is open stays good: only who opens it anew learns of it
        if damage == "gone":
            shutil.rmtree(home)
        else:
            await asyncio.to_thread(path.write_bytes, b"no database" * 1_000)
        assert await checked.ready() == "down"
        assert (await states(checked))["database"] == "down"

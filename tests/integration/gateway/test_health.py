"""What a node knows of its own state."""

import asyncio
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from talksy.ai.llm import Choice, LanguageModel, Unwatched
from talksy.ai.llm.breaker import FAILURES
from talksy.database import Database
from talksy.errors import ProviderUnavailable
from talksy.health import NodeHealth
from talksy.ratelimit import Limiter
from talksy.state import MemoryWindows
from tests.integration.database.opened import until
from tests.integration.gateway.rig import Cast, House, opened


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


def health(house: House, *models: LanguageModel) -> NodeHealth:
    return NodeHealth(
        gateway=house.gateway,
        database=house.database,
        journal=house.journal,
        limiter=Limiter(MemoryWindows(house.clock, house.clock)),
        models=[Choice(model, watcher=Unwatched()) for model in models],
    )


async def states(checked: NodeHealth) -> dict[str, str]:
    return {name: part["state"] for name, part in (await checked.detailed()).items()}


async def test_a_node_that_serves_is_ready_and_says_what_it_does(house: House) -> None:
    checked = health(house, Vendor())
    line, connection = await house.join()
    house.cast.play("hi", "hel", asyncio.Event())
    await line.said(await house.say(connection, "hi"), "hel")
    assert checked.live()
    assert await checked.ready()
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
    assert not await checked.ready()
    assert (await states(checked))["sessions"] == "degraded"


async def test_a_vendor_that_is_away_degrades_a_node_that_stays_ready(house: House) -> None:
    vendor = Vendor()
    vendor.fault = ProviderUnavailable()
    checked = health(house, vendor)
    assert (await states(checked))["providers"] == "degraded"
    assert await checked.ready()


async def test_each_model_is_shown_and_only_the_first_degrades_the_node(house: House) -> None:
    first, second = Vendor(), Vendor()
    second.fault = ProviderUnavailable()
    checked = health(house, first, second)
    said = (await checked.detailed())["providers"]
    assert (said["state"], said["breaker"]) == ("ok", "closed")
    assert [each["state"] for each in said["models"]] == ["ok", "degraded"]
    assert ["latencyMs" in each for each in said["models"]] == [True, False]


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
        assert await checked.ready()
        await database._engine.dispose()
        if damage == "gone":
            shutil.rmtree(home)
        else:
            await asyncio.to_thread(path.write_bytes, b"no database" * 1_000)
        assert not await checked.ready()
        assert (await states(checked))["database"] == "down"

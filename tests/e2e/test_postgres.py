"""A server on PostgreSQL, and a PostgreSQL that dies under its load."""

import asyncio
import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest

from tests.e2e.accounts import PASSWORD, Account
from tests.e2e.client import ENDINGS, SECONDS, Client
from tests.e2e.conftest import Door
from tests.postgres import Postgres, running_postgres
from tests.server import running_server

PEOPLE = 5
AWAY = float(os.environ.get("TALKSY_TEST_AWAY_SECONDS", "1"))
"""How long the database is away, beside the time it takes to notice."""
BUSY = "/mock tokens=20 delay_ms=10"
PAUSE = 0.05
"""Seconds before a refused message is sent again."""


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    """A server of the test's own: it is killed."""
    with running_postgres() as server:
        yield server


@dataclass
class Person:
    """Talks without a pause, and says again what was refused."""

    client: Client
    acknowledged: dict[str, str] = field(default_factory=dict)
    """The turn of each message that was."""
    refusals: list[dict[str, Any]] = field(default_factory=list)
    enough: bool = False

    @property
    def shut_out(self) -> bool:
        """Whether the database's absence was told."""
        return any(error["code"] == "OVERLOADED" for error in self.refusals)

    async def talk(self) -> None:
        for number in itertools.count():
            if self.enough:
                break
            await self._say(f"m{number}")
        for turn_id in self.acknowledged.values():
            await self.client.ending(turn_id)

    async def _say(self, message_id: str) -> None:
        message = {"text": BUSY, "messageId": message_id}
        while not (ack := await self.client.call("user_message_stream", message))["ok"]:
            self.refusals.append(ack["error"])
            await asyncio.sleep(PAUSE)
        turn_id = self.acknowledged[message_id] = str(ack["turnId"])
        if ack.get("duplicate"):
            await self.client.call("resume", {"turnId": turn_id, "after": -1})

    async def check(self) -> None:
        """Everything that was acknowledged is there, once, with one ending."""
        await self.client.call("get_history", {"limit": 100})
        history = await self.client.wait("conversation_history")
        assert [item["id"] for item in history if item["role"] == "user"] == list(self.acknowledged)
        for turn_id in self.acknowledged.values():
            told = [event for event in self.client.turn(turn_id) if event.name in ENDINGS]
            assert [event.data["reason"] for event in told] == ["completed"]
            assert sum(item.get("turnId") == turn_id for item in history) == 2
        assert not self.client.named("disconnect")
        codes = {error["code"]: error.get("retryAfter") for error in self.refusals}
        assert codes.keys() <= {"TURN_QUEUE_FULL", "OVERLOADED"}
        assert codes["OVERLOADED"] == 1


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_database_that_is_killed_under_load_loses_nothing_acknowledged(
    postgres: Postgres, websocket_door: Door
) -> None:
    assert postgres.daemon is not None
    async with running_server(DATABASE_URL=postgres.url("postgres")) as server:
        account = await Account.register(server.url)
        door = websocket_door.at(server.url)
        people = [Person(await door.open(account)) for _ in range(PEOPLE)]
        talking = [asyncio.create_task(person.talk()) for person in people]
        await until(lambda: all(len(person.acknowledged) > 2 for person in people))

        await asyncio.to_thread(postgres.daemon.crash)
        await until(lambda: all(person.shut_out for person in people))
        async with aiohttp.ClientSession(server.url) as http:
            login = {"email": account.email, "password": PASSWORD}
            async with http.post("/auth/login", json=login) as answer:
                assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
            assert [await status(http, page) for page in ("ready", "live")] == [503, 200]
            await asyncio.sleep(AWAY)
            await asyncio.to_thread(postgres.daemon.start)
            before = [len(person.acknowledged) for person in people]
            await until(
                lambda: all(len(p.acknowledged) > n for p, n in zip(people, before, strict=True))
            )
            assert await status(http, "ready") == 200

        for person in people:
            person.enough = True
        await asyncio.gather(*talking)
        for person in people:
            await person.check()


async def status(http: aiohttp.ClientSession, page: str) -> int:
    async with http.get(f"/health/{page}") as answer:
        return answer.status

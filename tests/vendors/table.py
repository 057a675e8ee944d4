"""What a client sees of each fault of a vendor, as a table.

    python -m tests.vendors.table

A real server asks ``openai``, then ``groq``, then ``mock``. Each message asks for a model that has
one habit of a vendor; the usual models stand behind it, and are well in the first table. In the
second their keys are wrong, and only ``mock`` is left.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tests.e2e.accounts import Account
from tests.e2e.client import Client, Event
from tests.server import Server, running_server
from tests.vendors.groq_server import GroqServer
from tests.vendors.openai_server import OpenAIServer
from tests.vendors.replay import ReplayServer

VENDORS: Mapping[str, type[ReplayServer]] = {"openai": OpenAIServer, "groq": GroqServer}
FIRST_TOKEN_MS = 1_000
GAP_MS = 500
AT_ONCE = 6
"""Turns side by side."""
ALONE = {"OPENAI_MODEL": "wrong-key", "GROQ_MODEL": "wrong-key"}
"""Nobody but ``mock`` is left to stand in."""


@dataclass(frozen=True)
class Row:
    """One turn."""

    vendor: str
    habit: str
    events: tuple[Event, ...]
    seconds: float

    @property
    def ending(self) -> dict[str, Any]:
        """The last thing the client was told."""
        return dict(self.events[-1].data)

    @property
    def resets(self) -> list[str]:
        """Why what came was void, each time."""
        return [event.data["reason"] for event in self.events if event.name == "stream_reset"]

    @property
    def text(self) -> str:
        """What a client that follows the contract shows in the end."""
        shown = ""
        for event in self.events:
            match event.name:
                case "stream_chunk":
                    shown += event.data["content"]
                case "stream_reset":
                    shown = ""
                case "stream_end":
                    shown = event.data.get("text", shown)
        return shown

    def __str__(self) -> str:
        """A line of the table."""
        ending = self.ending
        said = ending["error"]["code"] if "error" in ending else ending["reason"]
        who = f"{ending['provider']}:{ending['model']}"
        degraded = "degraded" if ending.get("degraded") else ""
        resets = ",".join(self.resets)
        return (
            f"{self.vendor:7} {self.habit:15} {said:21} {who:20} {degraded:9} {resets:22} "
            f"{len(self.text):3} {self.seconds:5.2f} s"
        )


def cases() -> list[tuple[str, str]]:
    """Each vendor with each of its habits."""
    return [(name, habit) for name, kind in VENDORS.items() for habit in kind.habits]


@asynccontextmanager
async def house(**settings: Any) -> AsyncIterator[Server]:
    """A server between both vendors, whose every habit is a model to be asked for."""
    async with AsyncExitStack() as stack:
        urls = {
            f"{name.upper()}_BASE_URL": (await stack.enter_async_context(kind())).url
            for name, kind in VENDORS.items()
        }
        usual: dict[str, Any] = {
            "AI_PROVIDER": "openai,groq,mock",
            "AI_MODELS": ",".join(f"{vendor}:{habit}" for vendor, habit in cases()),
            "OPENAI_API_KEY": "sk-secret",
            "GROQ_API_KEY": "gsk-secret",
            "OPENAI_MODEL": "usual",
            "GROQ_MODEL": "usual",
            "GROQ_MAX_REQUESTS_PER_MINUTE": 1_000,
            "AI_FIRST_TOKEN_TIMEOUT_MS": FIRST_TOKEN_MS,
            "AI_GAP_TIMEOUT_MS": GAP_MS,
            "STREAM_COALESCE_MS": 0,
        }
        yield await stack.enter_async_context(running_server(**{**usual, **urls, **settings}))


async def ask(server: Server, account: Account, vendor: str, habit: str) -> Row:
    """One turn of a session of its own, from the message to the ending."""
    client = await Client.connect(server.url, auth={"token": account.token})
    try:
        started = time.monotonic()
        ack = await client.say("Hello", model=f"{vendor}:{habit}")
        await client.ending(ack["turnId"])
        took = time.monotonic() - started
        await client.call("end_session")
        return Row(vendor, habit, tuple(client.turn(ack["turnId"])), took)
    finally:
        await client.close()


async def collect(server: Server, cases: Iterable[tuple[str, str]]) -> list[Row]:
    """The rows of ``cases``, in their order."""
    account = await Account.register(server.url)
    room = asyncio.Semaphore(AT_ONCE)

    async def one(vendor: str, habit: str) -> Row:
        async with room:
            return await ask(server, account, vendor, habit)

    return await asyncio.gather(*(one(*case) for case in cases))


async def main() -> None:
    """Prints the tables."""
    for settings in ({}, ALONE):
        print("vendor  fault           said                  by                   text, time")
        async with house(**settings) as server:
            for row in await collect(server, cases()):
                print(row)


if __name__ == "__main__":
    asyncio.run(main())

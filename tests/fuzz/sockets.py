"""Fuzzing of the Socket.IO door.

The connection stays unless it was said goodbye to, every event that asks for an ack gets one, with
a code of the list, and somebody else's conversation goes on as if nothing were.
"""

import asyncio
import json
import re
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
from hypothesis import HealthCheck, Phase, given, seed, settings

from tests import contract
from tests.e2e.accounts import Account
from tests.e2e.client import Client
from tests.e2e.raw import Wire, open_wire
from tests.fuzz.tally import Tally
from tests.fuzz.words import ASKS, Packet, batches, bodies, may_close

BATCH = 25
"""Packets that are sent before the answers are looked at."""
LAST = 10**14
"""The number of the question behind a batch: what is answered before it was answered for good."""
POLLED = 20
"""Of so many payloads one is polled."""
ACK = re.compile(r"43(\d+)\[")

SETTINGS: dict[str, Any] = {
    "database": None,
    "deadline": None,
    "suppress_health_check": list(HealthCheck),
    # What fails is sent again in smaller and smaller pieces, to other sockets each time.
    "phases": [Phase.generate, Phase.shrink],
}


class Fuzzer:
    """One client that sends whatever it likes, and one that is to notice nothing."""

    def __init__(self, url: str, account: Account, quiet: Client, stack: AsyncExitStack) -> None:
        self.tally = Tally()
        self._url = url
        self._account = account
        self._quiet = quiet
        self._stack = stack
        self._wire: Wire | None = None
        self._number = 0

    async def batch(self, sent: list[Packet]) -> None:
        """Sends packets and looks at what comes back."""
        wire = await self._joined()
        asked = set[str]()
        try:
            for packet in sent:
                await wire.send(self._addressed(packet, asked))
                self.tally.sent += 1
            # What still waits for attachments is over with the first text.
            await wire.send('42["get_session_info"]')
            await wire.send(f'42{LAST}["get_session_info"]')
            alive = await self._heard(wire, asked)
        except ConnectionError:
            alive = False
        except TimeoutError:
            raise AssertionError(f"no answer any more; not acknowledged: {asked}") from None
        if not alive:
            self._wire = None
            assert any(map(may_close, sent)), f"closed with {wire.socket.close_code}"
            self.tally.closed += 1
        else:
            assert not asked, f"not acknowledged: {asked}"
        assert contract.violations == []

    def _addressed(self, packet: Packet, asked: set[str]) -> str | bytes:
        if not packet.asks or isinstance(packet.frame, bytes):
            return packet.frame
        self._number += 1
        asked.add(str(LAST + self._number))
        return packet.frame.replace(ASKS, str(LAST + self._number), 1)

    async def _heard(self, wire: Wire, asked: set[str]) -> bool:
        """Reads up to the last ack; False where the connection ended before it."""
        while (packet := await wire.receive()) is not None:
            if packet.startswith(f"43{LAST}["):
                return True
            if acknowledged := ACK.match(packet):
                self._count(json.loads(packet[acknowledged.end() - 1 :])[0])
                asked.discard(acknowledged[1])
            elif packet.startswith('42["error",'):
                self.tally.answers[f"error {json.loads(packet[2:])[1]['code']}"] += 1
        return False

    def _count(self, ack: dict[str, Any]) -> None:
        self.tally.answers["ok" if ack["ok"] else ack["error"]["code"]] += 1

    async def _joined(self) -> Wire:
        if self._wire is None:
            wire = await self._stack.enter_async_context(open_wire(self._url))
            answer = await wire.join({"token": self._account.token})
            assert str(answer).startswith("40"), answer
            await wire.event("SESSION_CREATED")
            self._wire = wire
        return self._wire

    async def polled(self, body: bytes) -> None:
        """Sends a payload by polling; a session that it broke is left to its timeout."""
        query = {"EIO": "4", "transport": "polling"}
        async with aiohttp.ClientSession(self._url) as http:
            async with http.get("/socket.io/", params=query) as answer:
                query["sid"] = json.loads((await answer.text())[1:])["sid"]
            async with http.post("/socket.io/", params=query, data=body) as answer:
                assert answer.status in (200, 400), answer.status
                self.tally.answers[f"polled {answer.status}"] += 1
            async with http.post("/socket.io/", params=query, data="1") as answer:
                assert answer.status in (200, 400), answer.status
        self.tally.sent += 1

    async def undisturbed(self) -> None:
        """The quiet client's conversation goes on."""
        turn = await self._quiet.say("/mock tokens=3")
        assert (await self._quiet.ending(turn["turnId"]))["reason"] == "completed"
        assert not self._quiet.named("error")
        assert not self._quiet.named("disconnect")


async def fuzz_sockets(url: str, count: int, number: int) -> Tally:
    """Sends about ``count`` payloads; ``number`` is the seed. Raises ``AssertionError``."""
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        quiet = await Client.connect(url, auth={"token": (await Account.register(url)).token})
        stack.push_async_callback(quiet.close)
        fuzzer = Fuzzer(url, await Account.register(url), quiet, stack)

        @seed(number)
        @settings(max_examples=max(1, count // BATCH), **SETTINGS)
        @given(batches(BATCH))
        def send(sent: list[Packet]) -> None:
            asyncio.run_coroutine_threadsafe(fuzzer.batch(sent), loop).result()

        @seed(number)
        @settings(max_examples=max(1, count // POLLED), **SETTINGS)
        @given(bodies)
        def poll(sent: bytes) -> None:
            asyncio.run_coroutine_threadsafe(fuzzer.polled(sent), loop).result()

        await asyncio.to_thread(send)
        await asyncio.to_thread(poll)
        await fuzzer.undisturbed()
        return fuzzer.tally

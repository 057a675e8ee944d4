"""Delays under load: by itself, while thousands come back, and beside logins."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from benchmarks.bench import Bench
from benchmarks.client import Client, Refused, connect
from benchmarks.delays import Pace, listen
from benchmarks.load import met
from benchmarks.peers import PASSWORD, Peer, email, running_node, running_talksy
from benchmarks.report import Check, Section
from benchmarks.rounds import Figure, quantile, short
from benchmarks.streams import begun, connected, tried

STILL_SECONDS = 5.0
"""Before something happens beside the streams, to compare with."""
BACK_SECONDS = (0.5, 1.5)
"""When the stock client first tries to come back; later it waits up to five times as long."""
SLOW_MS = 2_000
"""The pace of the streams that are cut off, so that they themselves are no load."""
USERS = 20
"""Who log in: to make their passwords takes a while."""
HOW = (
    "A token is due by the line through the earliest tokens of its own stream, at the model's "
    "pace; what it comes later is its added delay. The lateness of the model's timer and of the "
    "clients' own loop and what coalescing holds back are in it."
)


@dataclass(frozen=True)
class Outage:
    """Clients that are all cut off at once and come back, while other streams run."""

    peer: Peer
    clients: int


@dataclass(frozen=True)
class Returned:
    """How they came back, by the machine's clock."""

    cut: float
    back: float
    """When the last of them was in."""
    refused: int
    """Attempts that failed."""
    strangers: int
    """Clients that did not get their session again."""
    holes: int
    """Events of their streams that were missing or came twice."""


@dataclass(frozen=True)
class Logins:
    """Attempts at a steady rate, each on a connection of its own."""

    peer: Peer
    per_second: int
    seconds: float


@dataclass(frozen=True)
class Attempts:
    """What came of them, by the machine's clock."""

    start: float
    end: float
    told: Sequence[tuple[int, float]]
    """Each one's status, and the seconds until it was there."""


class Returning(Client):
    """Knows the last number of its stream."""

    def __init__(self, peer: Peer, auth: Mapping[str, Any], sid: str = "") -> None:
        super().__init__(peer, auth, sid)
        self.seq = 0
        self.holes = 0

    def chunk(self, data: bytes, start: int, end: int) -> None:
        seq = orjson.loads(data[start + 2 : end])[1]["seq"]
        self.holes += seq != self.seq + 1
        self.seq = seq

    def resumed(self, peer: Peer, number: int) -> Mapping[str, Any]:
        """What it says when it comes back."""
        resume = [{"turnId": self.turn_id, "after": self.seq}]
        return {**peer.auth(number), "sessionId": self.session_id, "resume": resume}


async def come_back(order: Outage) -> Returned:
    """Cuts all clients off and lets them come back as the stock client does."""
    peer = order.peer
    clients = await connected(Returning, peer, "websocket", order.clients)
    start = time.time() + await tried(clients)
    for client in clients:
        client.seq = 0
    await begun(
        clients, f"/mock tokens=10000 delay_ms={SLOW_MS}", start=start, spread=SLOW_MS / 1000
    )
    await met()
    await met()
    await asyncio.sleep(STILL_SECONDS)
    refused = 0

    async def back(number: int, old: Returning) -> Returning:
        nonlocal refused

        def made(peer: Peer, auth: Mapping[str, Any], sid: str) -> Returning:
            client = Returning(peer, auth, sid)
            client.seq = old.seq
            return client

        times = 1
        while True:
            await asyncio.sleep(random.uniform(*BACK_SECONDS) * times)
            try:
                return await connect(made, peer, "websocket", old.resumed(peer, number))
            except (Refused, ConnectionError, TimeoutError):
                refused += 1
                times = min(2 * times, 5)

    cut = time.monotonic()
    for client in clients:
        client.drop()
    clients = await asyncio.gather(*(back(number, old) for number, old in enumerate(clients)))
    done = time.monotonic()
    await asyncio.sleep(1.5 * SLOW_MS / 1000)
    for client in clients:
        client.leave()
    strangers = sum(not client.restored for client in clients)
    holes = sum(client.holes + (not client.chunks) for client in clients)
    return Returned(cut, done, refused, strangers, holes)


async def log_in(order: Logins) -> Attempts:
    """Tries to log in, whatever becomes of the attempts before."""
    await met()
    await met()
    await asyncio.sleep(STILL_SECONDS)
    start = time.monotonic()
    trying = []
    for number in range(round(order.per_second * order.seconds)):
        await asyncio.sleep(start + number / order.per_second - time.monotonic())
        trying.append(asyncio.create_task(_login(order.peer, number)))
    end = time.monotonic()
    return Attempts(start, end, await asyncio.gather(*trying))


async def _login(peer: Peer, number: int) -> tuple[int, float]:
    body = orjson.dumps({"email": email(number % USERS), "password": PASSWORD})
    began = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", peer.port)
    try:
        writer.write(
            b"POST /auth/login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            b"Connection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        )
        line = await reader.readline()
        return int(line.split()[1]), time.monotonic() - began
    finally:
        writer.close()


def _row(name: str, late: Sequence[float], lag: float) -> list[str]:
    cuts = (quantile(late, share) * 1000 for share in (0.5, 0.99, 0.999, 1))
    return [name, *map(short, cuts), short(lag * 1000)]


HEAD = ("", "p50", "p99", "p99.9", "longest", "clients' own lag, p99")


async def load(bench: Bench) -> Section:
    """Many streams on one core, at the pace of models."""
    seconds = bench.count(20, 5)
    loads = [(bench.clients(1_000, 50), 50), (bench.clients(400, 20), 20)]
    section = Section("load: streams on one core", f"Added delay in ms. {HOW}", HEAD)
    async with running_talksy() as talksy, running_node() as node:
        for clients, delay_ms in loads:
            for peer in (talksy, node):
                pace = Pace(peer, clients, delay_ms, seconds)
                told = [await bench.load.run(listen, pace) for _ in range(bench.times(3))]
                late = [late for delays in told for late in delays.late]
                lag = max(delays.lag for delays in told)
                section.rows.append(_row(f"{peer.name}, {pace}", late, lag))
                if peer is talksy:
                    most = Figure([quantile(delays.late, 0.99) * 1000 for delays in told])
                    what = f"added delay of {pace}, p99"
                    section.checks.append(Check(what, most.median, 50, "ms"))
    return section


async def reconnect(bench: Bench) -> Section:
    """Thousands that come back at once, and those who never left."""
    clients, streams = bench.clients(5_000, 100), bench.count(200, 20)
    section = Section(
        "reconnect: thousands come back",
        f"{clients:,} sockets, each with a running answer, are cut off at once and come back with "
        "`sessionId` and `resume` as the stock client does, after 0.5 to 1.5 s and then more; "
        f"meanwhile {streams} others read 20 tokens a second. Their added delay in ms. {HOW}",
        HEAD,
    )
    # Their sessions must outlast what keeps them away.
    async with running_talksy({"SESSION_DISCONNECT_GRACE_MS": 120_000}) as talksy:
        pace = Pace(talksy, streams, 50, bench.count(40, 15), meets=True)
        delays, came = await asyncio.gather(
            bench.load.run(listen, pace),
            bench.load.beside(come_back, Outage(talksy, clients)),
        )
    before = delays.between(came.cut - STILL_SECONDS, came.cut)
    during = delays.between(came.cut, came.back)
    section.rows += [_row("before", before, delays.lag), _row("meanwhile", during, delays.lag)]
    section.text += (
        f" The last of them was back after {came.back - came.cut:.1f} s; attempts that failed: "
        f"{came.refused:,}; sessions lost: {came.strangers}; events missing or twice: {came.holes}."
    )
    grown = (quantile(during, 0.99) - quantile(before, 0.99)) * 1000
    section.checks += [
        Check("what reconnects add to p99", grown, 50, "ms"),
        Check("sessions and events lost in reconnects", came.strangers + came.holes, 0, "of them"),
    ]
    return section


async def logins(bench: Bench) -> Section:
    """Passwords to be checked, and those who read beside."""
    clients, per_second = bench.clients(1_000, 50), 50
    seconds = bench.count(10, 3)
    section = Section(
        "logins: passwords beside streams",
        f"{clients:,} streams at 20 tokens a second, and after a while {per_second} attempts to "
        "log in each second (bcrypt of 12 rounds, right passwords, the limit per address out of "
        f"the way), all on one core. Added delay in ms. {HOW}",
        HEAD,
    )
    roomy = {"AUTH_LOGIN_PER_MINUTE": 1_000_000, "AUTH_LOGIN_FAILURES": 1_000_000}
    async with running_talksy(roomy, users=USERS, rounds=12) as talksy:
        pace = Pace(talksy, clients, 50, seconds + STILL_SECONDS + 5, meets=True)
        delays, attempts = await asyncio.gather(
            bench.load.run(listen, pace),
            bench.load.beside(log_in, Logins(talksy, per_second, seconds)),
        )
    without = delays.between(attempts.start - STILL_SECONDS, attempts.start)
    beside = delays.between(attempts.start, attempts.end)
    section.rows += [_row("without", without, delays.lag), _row("with", beside, delays.lag)]
    counted = sorted(Counter(status for status, _ in attempts.told).items())
    refusals = [took * 1000 for status, took in attempts.told if status in (429, 503)]
    section.text += " Answered: " + ", ".join(f"{count} × {status}" for status, count in counted)
    section.text += "."
    if refusals:
        half, most = (quantile(refusals, share) for share in (0.5, 0.99))
        section.text += f" A refusal took {short(half)} ms (p50), {short(most)} ms (p99)."
        section.checks.append(Check("a refused login, p99", most, 20, "ms"))
    grown = (quantile(beside, 0.99) - quantile(without, 0.99)) * 1000
    section.checks.append(Check("what logins add to p99", grown, 10, "ms"))
    return section

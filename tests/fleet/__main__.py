"""``make fleet``: three nodes behind nginx until Ctrl-C, or with ``--test`` a rolling restart.

Lines on stdin are ``restart 1`` (what a deployment does), ``kill 1`` (what a power cut does) and
``start 1``.
"""

import argparse
import asyncio
import signal
import sys

from tests.fleet.crowd import Told, running_crowd
from tests.fleet.fleet import Fleet, Node, running_fleet

CLIENTS = 200
TOKENS = 60
DELAY_MS = 100
LAST_SECONDS = 60.0


async def main() -> int:
    parser = argparse.ArgumentParser(prog="make fleet ARGS=", description=__doc__)
    parser.add_argument("--port", type=int, default=8080, help="nginx's (8080)")
    parser.add_argument("--test", action="store_true", help="restart all nodes under load, and end")
    parser.add_argument("--clients", type=int, default=CLIENTS, help=f"of the test ({CLIENTS})")
    chosen = parser.parse_args()
    async with running_fleet(chosen.port) as fleet:
        print(f"the fleet    {fleet.url}")
        for number, node in enumerate(fleet.nodes, 1):
            print(f"  node {number}     http://127.0.0.1:{node.port}")
        if chosen.test:
            return await rolled(fleet, chosen.clients)
        print("restart 1, kill 1, start 1; Ctrl-C ends")
        await obey(fleet.nodes)
    return 0


async def rolled(fleet: Fleet, clients: int) -> int:
    """Restarts node after node under ``clients``; 0 where none of them missed anything."""
    async with running_crowd(
        fleet.url, clients=clients, count=TOKENS, delay_ms=DELAY_MS, turns=1_000_000, moves=0.5
    ) as crowd:
        await crowd.begun()
        for number, node in enumerate(fleet.nodes, 1):
            await node.restart()
            print(f"node {number} has restarted", flush=True)
        await crowd.enough()
        all_told = await crowd.all(LAST_SECONDS)
    faults = [fault for told in all_told if (fault := _fault(told))]
    print(
        f"{clients} clients, {sum(told.connects for told in all_told)} connects, "
        f"{sum(len(told.turns) for told in all_told)} turns of {TOKENS} tokens: "
        f"{len(faults)} clients were given something else"
    )
    print("\n".join(faults[:10]), end="")
    return 1 if faults else 0


def _fault(told: Told) -> str | None:
    try:
        told.check()
    except AssertionError as error:
        return f"client {told.number}: {str(error)[:2_000]}\n"
    return None


async def obey(nodes: list[Node]) -> None:
    """Does what the lines of stdin say, until Ctrl-C."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    stopped = asyncio.create_task(stop.wait())
    while not stop.is_set():
        reading = asyncio.create_task(reader.readline())
        await asyncio.wait([reading, stopped], return_when=asyncio.FIRST_COMPLETED)
        if not reading.done():
            reading.cancel()
        elif line := reading.result().decode().split():
            await _do(line, nodes)
        elif reader.at_eof():
            await stopped


async def _do(words: list[str], nodes: list[Node]) -> None:
    actions = {"restart": Node.restart, "kill": Node.kill, "start": Node.start}
    match words:
        case [word, number] if word in actions and number in {"1", "2", "3"}:
            await actions[word](nodes[int(number) - 1])
            print("done")
        case _:
            print("say restart, kill or start, and 1, 2 or 3")


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))

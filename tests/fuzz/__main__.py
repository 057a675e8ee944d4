"""Sends whatever comes to mind at both doors of a real server, and tells how it bore it.

python -m tests.fuzz --payloads 100000
"""

import argparse
import asyncio
import random
import time

from tests.fuzz import NO_LIMITS
from tests.fuzz.rest import fuzz_rest
from tests.fuzz.sockets import fuzz_sockets
from tests.fuzz.tally import Tally, resident
from tests.server import running_server


async def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--payloads", type=int, default=10_000, help="how many in all")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args()
    each = options.payloads // options.rounds // 2
    rest, sockets = Tally(), Tally()
    async with running_server(**NO_LIMITS) as server:
        print(f"seed {options.seed}, {server.url}, {resident(server.process.pid):.0f} MB")
        for number in range(options.rounds):
            started = time.monotonic()
            rest.add(await asyncio.to_thread(fuzz_rest, server.url, each, options.seed + number))
            middle = resident(server.process.pid)
            sockets.add(await fuzz_sockets(server.url, each, options.seed + number))
            print(
                f"round {number + 1}: {rest.sent + sockets.sent:,} payloads, "
                f"{middle:.0f} MB after REST, {resident(server.process.pid):.0f} MB after sockets, "
                f"{time.monotonic() - started:.0f} s",
                flush=True,
            )
    print(f"REST: {rest}\nsockets: {sockets}")
    print("No 5xx, no line dropped that had not said goodbye, no error in the log.")


if __name__ == "__main__":
    asyncio.run(main())

"""Times the steps that every request and every chunk takes.

Machines differ and are noisy: beside each time stands its ratio to a SHA-256 of a token, taken in
the same run. The figures are medians of rounds.
"""

import asyncio
import hashlib
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from talksy.ai.llm import open_model
from talksy.auth import AccessTokens, Auth, KnownLogins, Passwords, TokenCache, UserCache
from talksy.conversation import Turn
from talksy.database import Database
from talksy.database.accounts import Accounts
from talksy.database.logins import Logins
from talksy.database.rows import TurnRow
from talksy.events import Chunk
from talksy.journal.mirror import Mirror, Reader, opened
from talksy.journal.run import Bounds, Run
from talksy.messages import Prompt
from talksy.metrics import Metrics
from talksy.ratelimit import Limiter
from talksy.state import MemoryWindows

ROUNDS = 7
TOKENS = 20_000

ROW = TurnRow(
    id="trn_bench",
    session_id="ses_bench",
    message_id="msg_bench",
    owner="node_bench",
    fence=1,
    status="running",
    streamed=True,
    attempt=1,
    text="",
    events=0,
    chunks=0,
    provider=None,
    model=None,
    usage=None,
    error=None,
    degraded=False,
    created_at=0,
    ended_at=None,
)


def now() -> int:
    return time.time_ns() // 1_000_000


def timed(step: Callable[[], object], count: int) -> float:
    """Microseconds a call, the median of the rounds."""
    rounds = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        for _ in range(count):
            step()
        rounds.append((time.perf_counter() - started) / count * 1e6)
    return statistics.median(rounds)


async def awaited(step: Callable[[], Awaitable[object]], count: int) -> float:
    """Microseconds an awaited call, the median of the rounds."""
    rounds = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        for _ in range(count):
            await step()
        rounds.append((time.perf_counter() - started) / count * 1e6)
    return statistics.median(rounds)


async def tokens(folder: Path) -> tuple[float, float, str]:
    """A check of an access token with and without the cache, and the token."""
    async with Database.open(f"sqlite:///{folder}/bench.db") as database:

        def auth(size: int) -> Auth:
            return Auth(
                Accounts(database),
                Passwords(rounds=4),
                AccessTokens(["b" * 32], ttl_ms=900_000),
                KnownLogins(Logins(database), ["b" * 32], clock=now),
                users=UserCache(size=size, ttl_ms=300_000, clock=now),
                tokens=TokenCache(size=size, ttl_ms=300_000, clock=now),
                refresh_ttl_ms=86_400_000,
                grace_ms=10_000,
                clock=now,
            )

        async with auth(1_000) as cached, auth(0) as uncached:
            grant = await cached.register("bench@example.com", "Passw0rd1")
            token = grant.access_token
            hit = await awaited(lambda: cached.verify(token), 20_000)
            miss = await awaited(lambda: uncached.verify(token), 300)
    return hit, miss, token


async def limiter() -> float:
    """A check of a sliding window of 1,000 with many identities."""
    limit = Limiter(MemoryWindows())
    keys = iter(range(10**9))
    return await awaited(lambda: limit.take(f"messages:{next(keys) % 100}", 1_000, 60_000), 10_000)


def append(readers: int) -> float:
    """A chunk appended to a mirror and given to its readers."""
    chunk = Chunk("word ", 1)

    def run() -> None:
        mirror: Mirror = opened(ROW)
        for _ in range(readers):
            reader = Reader(mirror, -1, lambda: None)
            reader.wake = reader.take  # type: ignore[assignment]
        for _ in range(1_000):
            mirror.append(chunk)

    return timed(run, 20) / 1_000


async def stream() -> float:
    """A token from the mock model, through the turn and the merge, into the journal."""
    model = open_model("mock", {"mock": {"delay_ms": 0, "directives": True}})
    prompts = [Prompt("user", f"/mock tokens={TOKENS} chars=5")]
    rounds = []
    for _ in range(ROUNDS):
        run = Run(ROW, opened(ROW), Bounds())
        started = time.perf_counter()
        await run.drain(Turn(model, prompts))
        rounds.append((time.perf_counter() - started) / TOKENS * 1e6)
    return statistics.median(rounds)


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        hit, miss, token = await tokens(Path(folder))
    unit = timed(lambda: hashlib.sha256(token.encode()).hexdigest(), 100_000)
    rows = [
        ("SHA-256 of a token (the unit)", unit),
        ("cached token check", hit),
        ("uncached token check (signature and database)", miss),
        ("limiter check", await limiter()),
        ("journal append, no reader", append(0)),
        ("journal append, 1 reader", append(1)),
        ("journal append, 10 readers", append(10)),
        ("chunk counted for /metrics", timed(Metrics().turns.pulse().beat, 100_000)),
        ("token from model to journal, merged", await stream()),
    ]
    print(f"{'':48}{'µs':>9}{'× unit':>9}")
    for name, microseconds in rows:
        print(f"{name:48}{microseconds:9.2f}{microseconds / unit:9.1f}")


if __name__ == "__main__":
    asyncio.run(main())

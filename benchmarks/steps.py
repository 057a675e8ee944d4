"""What the steps cost that every request and every chunk takes, each timed by itself.

Machines differ: beside each time stands its ratio to a SHA-256 of a token, taken in the same run.
"""

import asyncio
import hashlib
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.report import Section
from benchmarks.rounds import short
from talksy.ai.llm import LanguageModel, Models, Plan
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
STREAMS, TOKENS = 20, 1_000
OPTIONS = {"mock": {"delay_ms": 0, "directives": True}}
"""The mock at full speed."""
ROW = TurnRow(
    id="trn_" + 22 * "x",
    session_id="ses_" + 22 * "x",
    message_id="msg_" + 22 * "x",
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


def timed(step: Callable[[], object], count: int) -> float:
    """Microseconds a call, the median of the rounds."""
    rounds = []
    for _ in range(ROUNDS):
        started = time.process_time()
        for _ in range(count):
            step()
        rounds.append((time.process_time() - started) / count * 1e6)
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


async def tokens() -> tuple[float, float, str]:
    """A check of an access token with and without the cache, and the token."""
    with tempfile.TemporaryDirectory() as folder:
        return await _tokens(Path(folder))


async def _tokens(folder: Path) -> tuple[float, float, str]:
    async with Database.open(f"sqlite:///{folder}/bench.db") as database:

        def auth(size: int) -> Auth:
            return Auth(
                Accounts(database),
                Passwords(rounds=4),
                AccessTokens(["b" * 32], ttl_ms=900_000),
                KnownLogins(Logins(database), ["b" * 32], clock=_now),
                users=UserCache(size=size, ttl_ms=300_000, clock=_now),
                tokens=TokenCache(size=size, ttl_ms=300_000, clock=_now),
                refresh_ttl_ms=86_400_000,
                grace_ms=10_000,
                clock=_now,
            )

        async with auth(1_000) as cached, auth(0) as uncached:
            grant = await cached.register("bench@example.com", "Passw0rd1")
            token = grant.access_token
            hit = await awaited(lambda: cached.verify(token), 20_000)
            miss = await awaited(lambda: uncached.verify(token), 300)
    return hit, miss, token


def _now() -> int:
    return time.time_ns() // 1_000_000


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


def guarded() -> LanguageModel:
    """The mock as a server has it: behind time limits, retries and a breaker."""
    return Models.open(Plan(["mock"], options=OPTIONS)).usual


async def streamed(
    course: Callable[[Sequence[Prompt]], Awaitable[object]], directive: str = ""
) -> float:
    """Microseconds a token of many streams side by side, each of which takes ``course``."""
    prompts = [Prompt("user", f"/mock tokens={TOKENS} {directive}")]
    rounds = []
    for _ in range(ROUNDS):
        started = time.process_time()
        await asyncio.gather(*(course(prompts) for _ in range(STREAMS)))
        rounds.append((time.process_time() - started) / TOKENS / STREAMS * 1e6)
    return statistics.median(rounds)


async def journaled(bounds: Bounds, directive: str = "") -> float:
    """A token from the mock, through the turn, into a mirror that nobody reads."""
    mock = guarded()
    return await streamed(
        lambda prompts: Run(ROW, opened(ROW), bounds).drain(Turn(mock, prompts)), directive
    )


async def steps(bench: Bench) -> Section:  # noqa: ARG001 (it is quick by itself)
    """All of them."""
    hit, miss, token = await tokens()
    unit = timed(lambda: hashlib.sha256(token.encode()).hexdigest(), 100_000)
    section = Section(
        "steps: what everything is made of",
        "In µs, each timed by itself, and beside it the ratio to the first.",
        ["", "µs", "ratio"],
    )
    for name, microseconds in (
        ("SHA-256 of a token", unit),
        ("cached token check", hit),
        ("uncached token check (signature and database)", miss),
        ("limiter check", await limiter()),
        ("journal append, no reader", append(0)),
        ("journal append, 1 reader", append(1)),
        ("journal append, 10 readers", append(10)),
        ("chunk counted for /metrics", timed(Metrics().turns.pulse().beat, 100_000)),
        ("token from model to journal, merged", await journaled(Bounds())),
    ):
        section.rows.append([name, short(microseconds), f"{microseconds / unit:.1f}"])
    return section

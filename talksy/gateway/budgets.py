"""How often who may do what."""

from talksy.errors import RateLimited
from talksy.events import Limited, Scope
from talksy.gateway.connection import Connection
from talksy.gateway.requests import Rules
from talksy.ratelimit import Limiter, Verdict

MINUTE_MS = 60_000


class Budgets:
    """The windows of an identity; those of a guest are its address's as well.

    Whoever likes has a new guest's identity at every connect: it would be a way around them.
    """

    def __init__(self, limiter: Limiter, rules: Rules) -> None:
        self._limiter = limiter
        self._limits: dict[Scope, tuple[int, int]] = {
            "messages": (rules.messages, rules.messages_ms),
            "reads": (rules.reads, MINUTE_MS),
            "connects": (rules.connects, MINUTE_MS),
        }
        self._newcomers = rules.newcomers

    async def admit(self, address: str) -> None:
        """Counts a new guest. Raises ``RateLimited``."""
        verdict = await self._limiter.take(f"guests:{address}", self._newcomers, MINUTE_MS)
        if not verdict.allowed:
            raise RateLimited(
                f"{self._newcomers} new guests a minute are allowed from one address: "
                "come back with your guestToken, or log in",
                retry_after=verdict.retry_after,
            )

    async def take(self, connection: Connection, scope: Scope) -> None:
        """Counts something that was asked for, and tells when little is left.

        Raises ``RateLimited``.
        """
        limit, window_ms = self._limits[scope]
        taken: list[str] = []
        tightest: Verdict | None = None
        for key in _keys(connection, scope):
            verdict = await self._limiter.take(key, limit, window_ms)
            if not verdict.allowed:
                for former in taken:
                    await self._limiter.refund(former)
                tell(connection, scope, verdict, refused=True)
                raise RateLimited(
                    f"{limit} {scope} each {window_ms / 1000:g} s are allowed",
                    retry_after=verdict.retry_after,
                )
            taken.append(key)
            if tightest is None or verdict.remaining < tightest.remaining:
                tightest = verdict
        if tightest is not None and tightest.remaining in {limit // 5, limit // 10, 0}:
            tell(connection, scope, tightest)

    async def refund(self, connection: Connection, scope: Scope) -> None:
        """Gives back what was taken and then not done."""
        for key in _keys(connection, scope):
            await self._limiter.refund(key)


def tell(connection: Connection, scope: Scope, verdict: Verdict, *, refused: bool = False) -> None:
    """Shows a client what its window said."""
    connection.outlet.tell(
        Limited(
            scope,
            verdict.limit,
            verdict.remaining,
            verdict.reset_at,
            verdict.retry_after if refused else None,
        )
    )


def _keys(connection: Connection, scope: Scope) -> list[str]:
    keys = [f"{scope}:{connection.user_id}"]
    if connection.identity.guest:
        keys.append(f"{scope}:{connection.address}")
    return keys

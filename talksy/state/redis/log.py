"""The log of turns in Redis: a list a turn, its fence and then event *i* as element *i* + 1."""

from collections.abc import Callable, Sequence

import structlog

from talksy.state.base import (
    ENDED_MS,
    READ_EVENTS,
    RUNNING_MS,
    Append,
    Appended,
    Nudge,
    Place,
)
from talksy.state.redis.client import Client, evaluated
from talksy.state.redis.lines import Command
from talksy.state.redis.listener import Listener
from talksy.state.redis.scripts import APPEND, PREFIX, SEAL

log = structlog.get_logger(__name__)

NUDGE_BYTES = 48 * 1024
"""A nudge carries no more: whoever hears it reads the log."""


class RedisLog:
    """A ``TurnLog`` that all nodes share."""

    def __init__(self, client: Client, listener: Listener) -> None:
        self._client = client
        self._listener = listener
        # In a cluster a script counts the listeners of its own node alone.
        self.complete = not client.cluster

    async def append(self, appends: Sequence[Append]) -> Sequence[Appended]:
        answers = await self._client.run([_command(append) for append in appends])
        return [Appended(have, listeners) for have, listeners in answers]

    async def seal(self, session_id: str, turn_id: str, fence: int) -> Sequence[bytes]:
        key = _key(session_id, turn_id)
        events: list[bytes] = await self._client.call(SEAL, key, fence, RUNNING_MS, ENDED_MS)
        return events

    async def read(self, places: Sequence[Place]) -> Sequence[Sequence[bytes] | None]:
        # With the element before: without it the log is gone, or shorter than thought.
        commands = [
            (
                "LRANGE",
                _key(place.session_id, place.turn_id),
                place.first,
                place.first + READ_EVENTS,
            )
            for place in places
        ]
        answers = await self._client.run(commands)
        return [answer[1:] if answer else None for answer in answers]

    async def follow(self, session_id: str, hear: Callable[[Nudge], None]) -> None:
        def take(word: bytes) -> None:
            try:
                turn_id, first, events = word.split(b"\n", 2)
                nudge = Nudge(turn_id.decode(), int(first), events.split(b"\n") if events else ())
            except ValueError:
                # Said by another version, or by somebody else: what it says stays unsaid.
                log.warning("nudge_unreadable", session_id=session_id)
                return
            hear(nudge)

        await self._listener.listen(_channel(session_id), take)

    def unfollow(self, session_id: str) -> None:
        self._listener.leave(_channel(session_id))


def _command(append: Append) -> Command:
    return evaluated(
        APPEND,
        _key(append.session_id, append.turn_id),
        append.fence,
        append.first,
        int(append.final),
        RUNNING_MS,
        ENDED_MS,
        _channel(append.session_id),
        append.turn_id,
        NUDGE_BYTES,
        *append.events,
    )


def _key(session_id: str, turn_id: str) -> str:
    # The braces put all that belongs to a session on one node of a cluster.
    return f"{PREFIX}:{{{session_id}}}:{turn_id}"


def _channel(session_id: str) -> str:
    return f"{PREFIX}:{{{session_id}}}:c"

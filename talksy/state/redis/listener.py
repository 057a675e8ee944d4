"""One connection that listens on all channels of a node, and proves each second that it hears."""

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, Self

import structlog
from redis.exceptions import InvalidResponse, NoPermissionError

from talksy.state.base import Away
from talksy.state.redis.client import Client
from talksy.state.redis.lines import ANSWER_SECONDS, FAULTS, Connection

log = structlog.get_logger(__name__)

PROBE_SECONDS = 1.0
DEAF_SECONDS = 3.0
"""Who has not heard himself for so long listens on a connection that is dead."""
PAUSE = 0.1
"""Seconds, at least, before what failed is tried again."""
TOGETHER = 500
"""So many channels are asked for in one command."""

Hear = Callable[[bytes], None]
Answer = asyncio.Future[None]


@dataclass(slots=True)
class Asked:
    """What Redis has been told and has not answered yet."""

    kind: Literal[b"subscribe", b"unsubscribe"]
    channel: str
    answer: Answer | None = None


class Listener:
    """Channels and who hears them; lost connections are made anew, and then ``on_gap`` tells."""

    def __init__(self, client: Client, *, probe: str) -> None:
        """``probe`` is a channel and a key of this node alone."""
        self._client = client
        self._probe = probe
        self._hears: dict[str, Hear] = {probe: self._proven}
        self._heard: set[str] = set()
        """Channels for which the present connection was answered."""
        self._asked: deque[Asked] = deque()
        """Answers come in the order of the questions."""
        self._answers: dict[str, Answer] = {}
        self._left: list[str] = []
        self._gaps: list[Callable[[], None]] = []
        self._connection: Connection = None
        self._scope: asyncio.Timeout | None = None
        """That of the present connection, which is dropped by setting its end to now."""
        self.up = False
        """Whether it hears all that it wants to, as a word of its own has shown."""
        self._refused = False
        """Its user may not listen, and that was said."""
        self._settled = asyncio.Event()
        self._unheard_since: float | None = None
        """Since when it waits for a word of its own."""
        self._tasks: set[asyncio.Task[None]] = set()
        self.deaf = 0
        """How often a connection was found dead by its silence."""
        self.rebuilt = 0
        """How often it had to be made anew."""

    async def __aenter__(self) -> Self:
        self._spawn(self._keep_listening())
        self._spawn(self._keep_probing())
        return self

    async def __aexit__(self, *exc: object) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def settle(self, seconds: float) -> None:
        """Returns when it hears, or cannot, or after ``seconds``."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._settled.wait()

    @property
    def channels(self) -> int:
        """How many it wants to hear."""
        return len(self._hears)

    def on_gap(self, call: Callable[[], None]) -> None:
        """``call`` is called when all is heard again, after a time in which it was not."""
        self._gaps.append(call)

    async def listen(self, channel: str, hear: Hear) -> None:
        """Returns when ``hear`` is called with whatever is said from now on. Raises ``Away``; it is
        heard all the same as soon as there is a connection, until ``leave``.
        """
        self._hears[channel] = hear
        if channel in self._heard:
            return
        answer = self._answers.get(channel)
        if answer is None:
            if self._connection is None:
                raise Away("nobody listens")
            (answer,) = await self._subscribe([channel])
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await asyncio.shield(answer)
        except TimeoutError:
            raise Away("nobody answers") from None

    def leave(self, channel: str) -> None:
        """Hears it no longer."""
        if self._hears.pop(channel, None) is not None:
            self._left.append(channel)
            if len(self._left) == 1:
                self._spawn(self._part())

    # ---- what is asked of Redis

    async def _subscribe(self, channels: Sequence[str]) -> list[Answer]:
        loop = asyncio.get_running_loop()
        answers = [loop.create_future() for _ in channels]
        for channel, answer in zip(channels, answers, strict=True):
            # That a connection is lost is not news to those who do not wait.
            answer.add_done_callback(_look)
            self._answers[channel] = answer
            self._asked.append(Asked(b"subscribe", channel, answer))
        await self._send("SUBSCRIBE", *channels)
        return answers

    async def _part(self) -> None:
        """Whoever comes back before this runs is heard as if he had never left."""
        left, self._left = self._left, []
        gone = [
            channel
            for channel in dict.fromkeys(left)
            if channel not in self._hears and (channel in self._heard or channel in self._answers)
        ]
        if not gone or self._connection is None:
            return
        for channel in gone:
            self._heard.discard(channel)
            self._answers.pop(channel, None)
            self._asked.append(Asked(b"unsubscribe", channel))
        await self._send("UNSUBSCRIBE", *gone)

    async def _send(self, *command: str) -> None:
        # What is written before the first await leaves in the order of the calls.
        connection = self._connection
        if connection is None or not connection.is_connected:
            return
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await connection.send_command(*command, check_health=False)
        except FAULTS:
            self._drop()

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work, name="redis words")
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("redis_words_failed", exc_info=error)

    # ---- what comes

    async def _keep_listening(self) -> None:
        while True:
            try:
                await self._listen()
            except NoPermissionError as error:
                if not self._refused:
                    self._refused = True
                    log.warning("redis_ear_refused", reason=str(error)[:200], hint="docs/redis.md")
            except (Away, *FAULTS) as error:
                log.debug("redis_ear_lost", error=type(error).__name__)
            except Exception:
                log.exception("redis_ear_failed")
            await asyncio.sleep(PAUSE * (1 + random.random()))  # noqa: S311 - no secret

    async def _listen(self) -> None:
        """Hears what is said until the connection is lost. Raises ``Away`` and ``FAULTS``."""
        connection = await self._client.ear()
        self._connection = connection
        self._unheard_since = time.monotonic()
        try:
            async with asyncio.timeout(None) as self._scope:
                self._spawn(self._ask_for_all(connection))
                while True:
                    self._take(await connection.read_response(disable_decoding=True))
        finally:
            self._lose()
            await connection.disconnect(nowait=True)

    async def _ask_for_all(self, connection: Connection) -> None:
        channels = [channel for channel in self._hears if channel != self._probe]
        for first in range(0, len(channels), TOGETHER):
            lacking = [
                channel
                for channel in channels[first : first + TOGETHER]
                if channel in self._hears
                and channel not in self._heard
                and channel not in self._answers
            ]
            if lacking and self._connection is connection:
                await self._subscribe(lacking)
        # Last, so that its answer says that all are heard.
        if self._connection is connection:
            await self._subscribe([self._probe])

    def _drop(self) -> None:
        # A TLS connection to nowhere would wait for half a minute to be closed.
        scope, self._scope = self._scope, None
        if scope is not None:
            scope.reschedule(asyncio.get_running_loop().time())

    def _lose(self) -> None:
        self.rebuilt += self.up
        self.up = False
        self._connection = self._scope = None
        self._heard.clear()
        self._asked.clear()
        answers, self._answers = self._answers, {}
        for answer in answers.values():
            if not answer.done():
                answer.set_exception(Away("the listening connection was lost"))

    def _take(self, reply: Any) -> None:
        match reply:
            case [b"message", bytes(channel), bytes(word)]:
                if hear := self._hears.get(channel.decode()):
                    try:
                        hear(word)
                    except Exception:
                        log.exception("word_failed")
            case [b"subscribe" | b"unsubscribe" as kind, bytes(channel), _] if self._asked:
                asked = self._asked.popleft()
                if (asked.kind, asked.channel) != (kind, channel.decode()):
                    raise InvalidResponse("this is not what was asked for")
                self._answered(asked)
            case _:
                raise InvalidResponse("nobody asked for this")

    def _answered(self, asked: Asked) -> None:
        if asked.answer is None or self._answers.get(asked.channel) is not asked.answer:
            return  # it was left meanwhile
        del self._answers[asked.channel]
        self._heard.add(asked.channel)
        if not asked.answer.done():
            asked.answer.set_result(None)
        if asked.channel == self._probe:
            self._client.wonder()

    def _proven(self, _word: bytes) -> None:
        """A word of its own came: whoever asked before is heard, and commands are answered."""
        self._unheard_since = None
        if self.up:
            return
        self.up, self._refused = True, False
        self._settled.set()
        for call in self._gaps:
            try:
                call()
            except Exception:
                log.exception("gap_failed")

    # ---- whether it hears

    async def _keep_probing(self) -> None:
        while True:
            if self._connection is not None and self._unheard_since is None:
                self._unheard_since = time.monotonic()
            try:
                await self._client.prove(self._probe)
            except Away:
                # Not this connection's fault.
                self._unheard_since = None
                self._settled.set()
                await asyncio.sleep(PAUSE * (1 + random.random()))  # noqa: S311 - no secret
                continue
            except Exception:
                log.exception("redis_probe_failed")
            await self._check()
            await self._client.doubt(PROBE_SECONDS)

    async def _check(self) -> None:
        """Drops a connection that has not heard its own word for long, or is at the wrong place."""
        connection, since = self._connection, self._unheard_since
        if connection is None:
            return
        silent = 0.0 if since is None else time.monotonic() - since
        if silent >= DEAF_SECONDS:
            self.deaf += 1
            log.warning("bus_deaf", seconds=round(silent, 1))
            self._drop()
        elif not await self._client.meets(connection):
            self._drop()


def _look(answer: Answer) -> None:
    if not answer.cancelled():
        answer.exception()

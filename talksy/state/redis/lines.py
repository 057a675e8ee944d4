"""Connections to one server, and conversations on them that cannot get mixed up."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from redis.exceptions import ConnectionError as Lost
from redis.exceptions import InvalidResponse, NoScriptError, RedisError, ResponseError

from talksy.state.redis.scripts import ALL

Command = Sequence[str | bytes | int]
Connection = Any
"""The library's ``Connection``; little of it is typed."""

ANSWER_SECONDS = 1.0
"""An answer takes no longer; then its connection is dropped, and the server counts as away."""
CONNECT_SECONDS = 2.0
"""The same for a connection, with the sentinels that are asked before."""
CONNECTIONS = 8
"""Conversations are short: whoever has to wait for one waits for milliseconds."""
FAULTS = (RedisError, OSError, TimeoutError)
"""What connections raise where there is no answer."""


class Lines:
    """Up to ``CONNECTIONS`` to one server, made as they are needed.

    Not the library's pools: theirs costs half of an append's time, that of Sentinel has no bound,
    and neither knows of a server that is better not asked.
    """

    def __init__(self, make: Callable[[], Connection]) -> None:
        """``make`` gives a connection that is not connected yet and has no timeout of its own."""
        self._make = make
        self._idle: list[Connection] = []
        self._room = asyncio.Semaphore(CONNECTIONS)
        self._fault: Exception | None = None
        self._closed = False
        self.address: tuple[str, int] | None = None
        """Where the newest connection leads: behind Sentinel that changes."""

    @property
    def failed(self) -> bool:
        """The server did not answer; it is asked no more until it is mended."""
        return self._fault is not None

    async def ask(self, commands: Sequence[Command]) -> list[Any]:
        """The answers, an error of the server's among them as it is. Raises one of ``FAULTS``."""
        self._must_serve()
        async with self._room:
            # Whoever was here before may have found out, a second ago.
            self._must_serve()
            try:
                return await self._ask(commands)
            except FAULTS as fault:
                self._fault = fault
                await self.drop()
                raise

    async def mend(self) -> None:
        """Asks a server that has failed for a sign. Raises one of ``FAULTS``."""
        async with self._room:
            if self._fault is not None:
                await self._ask([("PING",)])
                self._fault = None

    async def drop(self) -> None:
        """The next conversations are on new connections."""
        idle, self._idle = self._idle, []
        for connection in idle:
            await connection.disconnect(nowait=True)

    async def close(self) -> None:
        """Hangs up, and waits for it; conversations under way do so when they have ended."""
        self._closed = True
        idle, self._idle = self._idle, []
        for connection in idle:
            await connection.disconnect()

    def _must_serve(self) -> None:
        if self._fault is not None:
            raise Lost(str(self._fault) or type(self._fault).__name__)

    async def _ask(self, commands: Sequence[Command]) -> list[Any]:
        connection = self._idle.pop() if self._idle else self._make()
        try:
            # What has something to read was closed, or has the answer to another question.
            if not connection.is_connected or await connection.can_read():
                await connection.disconnect(nowait=True)
                async with asyncio.timeout(CONNECT_SECONDS):
                    await connection.connect()
                    await _load(connection)
                self.address = (connection.host, connection.port)
            async with asyncio.timeout(ANSWER_SECONDS):
                answers = await _converse(connection, commands)
                lacking = [i for i, one in enumerate(answers) if isinstance(one, NoScriptError)]
                if lacking:
                    # SCRIPT FLUSH; such a command has done nothing yet.
                    await _load(connection)
                    again = await _converse(connection, [commands[place] for place in lacking])
                    for place, answer in zip(lacking, again, strict=True):
                        answers[place] = answer
        except BaseException:
            # Whoever leaves in mid-sentence takes the connection along: what comes on it is the
            # answer to what he has asked.
            await connection.disconnect(nowait=True)
            raise
        if self._closed:
            await connection.disconnect(nowait=True)
        else:
            self._idle.append(connection)
        return answers


async def _load(connection: Connection) -> None:
    loaded = await _converse(connection, [("SCRIPT", "LOAD", script.text) for script in ALL])
    for script, answer in zip(ALL, loaded, strict=True):
        if isinstance(answer, Exception):
            raise answer
        if answer != script.sha.encode():
            raise InvalidResponse("this is no Redis")


async def _converse(connection: Connection, commands: Sequence[Command]) -> list[Any]:
    await connection.send_packed_command(connection.pack_commands(commands), check_health=False)
    answers: list[Any] = []
    for _ in commands:
        try:
            answers.append(await connection.read_response(disable_decoding=True))
        except ResponseError as error:
            answers.append(error)
    return answers

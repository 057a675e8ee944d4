"""Words between nodes, by way of Redis."""

from collections.abc import Callable
from contextlib import suppress

from talksy.state.base import Away
from talksy.state.redis.client import Client
from talksy.state.redis.listener import Listener
from talksy.state.redis.scripts import PREFIX


class RedisBus:
    """A ``Bus`` on the channels ``talksy:1:n:…``, or those that begin with another ``prefix``."""

    def __init__(self, client: Client, listener: Listener, *, prefix: str = f"{PREFIX}:n:") -> None:
        self._client = client
        self._listener = listener
        self._prefix = prefix

    async def say(self, channel: str, word: str) -> None:
        await self._client.run([("PUBLISH", f"{self._prefix}{channel}", word.encode())])

    async def listen(self, channel: str, hear: Callable[[str], None]) -> None:
        with suppress(Away):  # it is heard as soon as there is a connection
            await self._listener.listen(
                f"{self._prefix}{channel}", lambda word: hear(word.decode(errors="replace"))
            )

    def on_gap(self, call: Callable[[], None]) -> None:
        self._listener.on_gap(call)

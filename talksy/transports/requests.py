"""A request as those take it who do not care who read it, and what they answer."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from aiohttp import web

P = TypeVar("P", bound=asyncio.Protocol)


class TooBig(Exception):
    """A body over the limit."""


class Ask(Protocol):
    """A request."""

    @property
    def method(self) -> str: ...

    @property
    def version(self) -> tuple[int, int]: ...

    @property
    def query(self) -> Mapping[str, str]: ...

    @property
    def raw_path(self) -> str:
        """With its query, as it came."""

    @property
    def raw_headers(self) -> Sequence[tuple[bytes, bytes]]: ...

    @property
    def remote(self) -> str | None:
        """The address of the other end; None where it has none."""

    def header(self, name: str) -> str | None:
        """A header, by its name in small letters; None where there is none."""

    async def body(self, most: int) -> bytes:
        """Raises ``TooBig`` over ``most`` bytes, and ``Violation`` where it does not come."""

    def take_over(
        self, key: bytes, make: Callable[[asyncio.Transport, bytes], P]
    ) -> tuple[P, bytes]:
        """Accepts an upgrade: what ``make`` made of the connection and of the answer, which it is
        to send before all else; and what the client sent already, which is to be given to it.
        Raises ``ConnectionResetError`` where it has gone.
        """


@dataclass(frozen=True, slots=True)
class Reply:
    """What a request is answered; a body is text in UTF-8."""

    body: bytes
    status: int = 200
    kind: str = "text/plain"
    headers: Sequence[tuple[str, str]] = ()


class Door(Protocol):
    """Who answers what is below a path."""

    def lets(self, ask: Ask) -> bool:
        """Whether ``answer`` knows an answer; all other requests are for aiohttp to bring."""

    async def answer(self, ask: Ask) -> Reply | None:
        """None where nobody is to be answered any more."""


class Guard(Protocol):
    """Who may answer a request before we do."""

    async def __call__(self, request: web.Request) -> web.StreamResponse | None:
        """The answer; None where it is ours."""

    def lets(self, ask: Ask) -> bool:
        """Whether it would be ours."""


class Common(Protocol):
    """Makes the lines that every answer has in its head, each with its CRLF."""

    def __call__(self, ask: Ask) -> bytes: ...


DOORS = web.AppKey("doors", dict[str, Door])
"""The doors of an application, by their paths, such as ``/socket.io/``."""
COMMON = web.AppKey("common", Common)
"""What all answers of an application have."""

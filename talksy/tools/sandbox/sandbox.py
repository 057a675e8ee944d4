"""The sandbox: calls of code that nobody trusts."""

import asyncio
import contextlib
import json
import math
import secrets
import signal
import socket
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import pydantic

from talksy.errors import ToolFailed, ToolTimeout
from talksy.tools.sandbox.child.work import MESSAGE, NONCE
from talksy.tools.sandbox.homes import home_of
from talksy.tools.sandbox.keeper import Ending, Keeper, SandboxUnfit

NAMESPACES_HINT = (
    "a second line of defence: sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone=1 "
    "or kernel.apparmor_restrict_unprivileged_userns=0; for a container --security-opt with a "
    "seccomp and an AppArmor profile that let unshare, setns, mount and pivot_root through"
)
"""What gives the namespaces, where they are missing."""
GRACE_SECONDS = 5.0
"""A zygote that has not ended a child so long after its time stands still."""
IMPORT_SECONDS = 10.0
"""For a module to be imported, when it is described."""


@dataclass(frozen=True, slots=True)
class SandboxBounds:
    """What calls may take."""

    memory: int = 256 << 20
    """Bytes of address space of a call, beside what the interpreter takes."""
    cpu_seconds: float = 10.0
    """Of a call; the kernel counts whole ones."""
    output: int = 1 << 18
    """Bytes of an answer."""
    children: int = 100
    """Calls at a time; more wait."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of code."""

    output: str
    """What it printed."""
    value: str | None
    """What its last line was worth, as ``repr`` has it; None where that was nothing."""
    error: str | None
    """What it ended with."""
    cut: bool = False
    """It printed more."""


_RAN = pydantic.TypeAdapter(Ran)


class Sandbox:
    """Runs tools in processes that can reach nothing, each call in a new one."""

    def __init__(self, modules: Iterable[str] = (), bounds: SandboxBounds | None = None) -> None:
        """``modules`` are all that will be called: dotted names, or paths of files or packages.

        Raises ``LookupError`` for one that is not there.
        """
        self._bounds = bounds or SandboxBounds()
        self._homes = {module: home_of(module) for module in modules}
        self._room = asyncio.Semaphore(self._bounds.children)
        self._starting = asyncio.Lock()
        self._keeper: Keeper | None = None
        self._closed = False
        self._layers: Sequence[str] = ()
        self.missing: str | None = None
        """Why there are no namespaces here, where there are none."""

    async def __aenter__(self) -> Self:
        """Raises ``SandboxUnfit`` where the locks do not hold."""
        await self._ready()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closed = True
        if self._keeper is not None:
            await self._keeper.close()

    def layers(self) -> Sequence[str]:
        """What holds a call in on this machine."""
        return self._layers

    async def call(
        self, module: str, function: str, arguments: Mapping[str, Any], *, seconds: float
    ) -> Any:
        """What ``function`` of ``module`` returns, as JSON has it; ``arguments`` are checked.

        Raises ``ToolFailed``, ``ToolTimeout``. When it returns, raises or is cancelled, no process
        of the call is left.
        """
        given = {"function": function, "arguments": arguments}
        return await self._do("call", module, given, seconds)

    async def describe(self, module: str) -> Sequence[Mapping[str, Any]]:
        """The tools of a module: fields of ``ToolDefinition``, and ``function`` for ``call``.

        The server never imports the module, and what it says of itself is not to be trusted. Raises
        ``ToolFailed``, ``ToolTimeout``.
        """
        said = await self._do("describe", module, {}, IMPORT_SECONDS)
        if not isinstance(said, list) or not all(isinstance(each, dict) for each in said):
            raise ToolFailed(f"What {module} says of its tools cannot be read.")
        return said

    async def python(self, code: str, *, seconds: float) -> Ran:
        """Runs code by itself. Raises ``ToolFailed``, ``ToolTimeout``."""
        said = await self._do("python", None, {"code": code}, seconds)
        try:
            return _RAN.validate_python(said)
        except pydantic.ValidationError as error:
            raise ToolFailed("It ended without an answer that can be read.") from error

    async def _do(
        self, deed: str, module: str | None, given: Mapping[str, Any], seconds: float
    ) -> Any:
        if module is not None and module not in self._homes:
            raise LookupError(f"the sandbox was not opened for {module}")
        order = {"deed": deed, "module": module or "", "seconds": seconds}
        async with self._room:
            try:
                keeper = await self._ready()
            except SandboxUnfit as error:
                raise ToolFailed(f"The sandbox broke down: {error.reason}.") from error
            said, ending = await self._run(keeper, order, json.dumps(given).encode())
            if ending.broken is not None and not keeper.alive:
                # Not before all that it has forked is gone.
                await keeper.close()
        return self._value(said, ending, seconds)

    async def _run(
        self, keeper: Keeper, order: Mapping[str, Any], given: bytes
    ) -> tuple[bytes | None, Ending]:
        """What a child said, if it was an answer at all, and how it ended."""
        nonce = secrets.token_hex(NONCE // 2).encode()
        ours, theirs = socket.socketpair()
        with ours:
            ours.setblocking(False)
            with theirs:
                number, ended = keeper.fork(order, theirs)
            try:
                async with asyncio.timeout(order["seconds"] + GRACE_SECONDS):
                    said = await self._talk(ours, nonce + given)
                    if said is None:
                        keeper.kill(number)
                    # Only of a child that is gone what it said counts, and its room is free.
                    ending = await asyncio.shield(ended)
            except TimeoutError:
                keeper.abandon()
                return b"", await ended
            except asyncio.CancelledError:
                keeper.kill(number)
                await _ended(ended, keeper)
                raise
        if said is None:
            return None, ending
        return said.removeprefix(nonce) if said.startswith(nonce) else b"", ending

    async def _talk(self, channel: socket.socket, given: bytes) -> bytes | None:
        """Gives a child its work and reads until it hangs up; None where it says too much."""
        loop = asyncio.get_running_loop()
        pieces: list[bytes] = []
        left = self._bounds.output + NONCE + 1
        try:
            await loop.sock_sendall(channel, given)
            channel.shutdown(socket.SHUT_WR)
            while left > 0 and (piece := await loop.sock_recv(channel, min(left, 1 << 16))):
                pieces.append(piece)
                left -= len(piece)
        except OSError:
            return b""  # It ended before it had heard all; its ending tells.
        return b"".join(pieces) if left > 0 else None

    def _value(self, said: bytes | None, ending: Ending, seconds: float) -> Any:
        """What was returned. Raises ``ToolFailed``, ``ToolTimeout``."""
        if ending.late:
            raise ToolTimeout(f"It took longer than {round(seconds * 1000)} ms.")
        if said is None:
            raise ToolFailed(f"It said more than {self._bounds.output} bytes.")
        if (why := _death(ending, self._bounds)) is not None:
            raise ToolFailed(why)
        try:
            answer = json.loads(said, parse_constant=_refuse, parse_float=_finite)
            failed = answer.get("failed")
            if failed is None:
                return answer["value"]
        except (ValueError, KeyError, AttributeError, RecursionError) as error:
            raise ToolFailed("It ended without an answer that can be read.") from error
        # Whoever wrote it, it is to be told: so it is short, and whole characters.
        raise ToolFailed(str(failed)[:MESSAGE].encode(errors="replace").decode())

    async def _ready(self) -> Keeper:
        async with self._starting:
            if self._closed:
                raise SandboxUnfit("it is closed")
            if self._keeper is not None and self._keeper.alive:
                return self._keeper
            if self._keeper is not None:
                await self._keeper.close()
            self._keeper = await self._start()
            return self._keeper

    async def _start(self) -> Keeper:
        if sys.platform != "linux":
            raise SandboxUnfit(f"{sys.platform} has no locks that hold", "use Linux")
        bounds = self._bounds
        order = {
            "homes": self._homes,
            "bounds": [bounds.memory, bounds.cpu_seconds, bounds.output],
        }
        keeper, said = await Keeper.start(order)
        try:
            trial = {"deed": "try", "module": "", "seconds": IMPORT_SECONDS}
            found, ending = await self._run(keeper, trial, b"{}")
            holes = self._value(found, ending, IMPORT_SECONDS)
        except (ToolFailed, ToolTimeout) as error:
            await keeper.close()
            raise SandboxUnfit(f"a first call failed: {error.message}") from error
        except BaseException:
            await keeper.close()
            raise
        if holes:
            await keeper.close()
            raise SandboxUnfit(f"the locks do not hold here: {', '.join(holes)}")
        self._layers, self.missing = said["layers"], said["missing"]
        return keeper


async def _ended(ended: asyncio.Future[Ending], keeper: Keeper) -> None:
    """Returns when it has, however often who waits is cancelled."""
    stuck = asyncio.get_running_loop().call_later(GRACE_SECONDS, keeper.abandon)
    while not ended.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait({ended})
    stuck.cancel()


def _death(ending: Ending, bounds: SandboxBounds) -> str | None:
    """Why a child ended that did not end by itself."""
    if ending.broken is not None:
        return ending.broken
    # The kernel counts what it limits by ticks, so that it may be less than it seems.
    if ending.status == -signal.SIGKILL and ending.cpu >= bounds.cpu_seconds / 2:
        return f"It needed more than {bounds.cpu_seconds:g} s of a processor."
    if ending.status == -signal.SIGKILL:
        return "The system killed it, most likely for want of memory."
    if ending.status < 0:
        return f"It crashed ({signal.Signals(-ending.status).name})."
    return None if ending.status == 0 else "It ended without an answer."


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is no number")
    return number

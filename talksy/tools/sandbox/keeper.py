"""The server's side of the zygote: starts it, gives it orders, hears how children end."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import structlog

from talksy.tools.sandbox.child import boot

log = structlog.get_logger(__name__)

START_SECONDS = 20.0
"""It imports and tries its locks: half a second on an idle machine."""
BROKEN = "The sandbox broke down: try again."
MOST = 1 << 16
"""Bytes of what a zygote says."""


class SandboxUnfit(Exception):
    """This machine cannot hold untrusted code. ``hint`` says what would help."""

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(f"{reason}: {hint}" if hint else reason)
        self.reason, self.hint = reason, hint


@dataclass(frozen=True, slots=True)
class Ending:
    """How a child ended."""

    status: int
    """Its exit code; of a signal the negative number."""
    late: bool = False
    """Its time had run out."""
    cpu: float = 0.0
    """Seconds of a processor it has used."""
    broken: str | None = None
    """Why there was no child, or nobody to tell of it."""


class Keeper:
    """Holds one zygote. Where that dies it stays so: who needs another makes another keeper."""

    def __init__(self, process: Process, control: socket.socket) -> None:
        self._process = process
        self._control = control
        self._running: dict[int, asyncio.Future[Ending]] = {}
        self._last = 0
        self._ready: asyncio.Future[Mapping[str, Any]] = asyncio.get_running_loop().create_future()
        self._serving = False
        self.alive = True

    @classmethod
    async def start(cls, order: Mapping[str, Any]) -> tuple[Self, Mapping[str, Any]]:
        """A zygote that is ready, and what it says of its layers. Raises ``SandboxUnfit``."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        try:
            # Nothing of ours goes along: no environment, no descriptor, no memory, no terminal.
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", "-X", "utf8", boot.__file__, str(theirs.fileno())),
                *(path for path in sys.path if Path(path).is_absolute()),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                env={},
                cwd="/",
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        except OSError as error:
            ours.close()
            raise SandboxUnfit(f"no process could be had: {error.strerror}") from error
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        keeper = cls(process, ours)
        try:
            said = await keeper._prepare(order)
        except BaseException:
            await keeper.close()
            raise
        keeper._serving = True
        return keeper, said

    async def _prepare(self, order: Mapping[str, Any]) -> Mapping[str, Any]:
        asyncio.get_running_loop().add_reader(self._control, self._hear)
        try:
            self._control.send(json.dumps(order).encode())
            async with asyncio.timeout(START_SECONDS):
                said = await self._ready
        except (TimeoutError, OSError) as error:
            raise SandboxUnfit("its process does not start") from error
        if "unfit" in said:
            raise SandboxUnfit(said["unfit"], said["hint"])
        return said

    def fork(
        self, order: Mapping[str, Any], channel: socket.socket
    ) -> tuple[int, asyncio.Future[Ending]]:
        """A child that is given ``channel``: its number, and its ending to come."""
        self._last += 1
        ending: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        if not self.alive:
            ending.set_result(Ending(-1, broken=BROKEN))
            return self._last, ending
        self._running[self._last] = ending
        said = json.dumps({"number": self._last, **order}).encode()
        try:
            socket.send_fds(self._control, [said], [channel.fileno()])
        except OSError as error:
            # Full, so it stands still; or gone.
            log.warning("sandbox_unreachable", reason=error.strerror)
            self.abandon()
        return self._last, ending

    def kill(self, number: int) -> None:
        """Ends a child now; its ending comes as of any other."""
        try:
            self._control.send(json.dumps({"deed": "kill", "number": number}).encode())
        except OSError:
            self.abandon()

    def abandon(self) -> None:
        """Kills the zygote with all that it has forked, since it does not do what it should."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    async def close(self) -> None:
        """Ends it with all that it has forked."""
        self._lost()
        try:
            async with asyncio.timeout(START_SECONDS):
                await self._process.wait()
        except TimeoutError:
            self.abandon()
            await self._process.wait()

    def _hear(self) -> None:
        while self.alive:
            try:
                said = self._control.recv(MOST)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                said = b""
            if not said:
                if self._serving:
                    log.warning("sandbox_ended", running=len(self._running))
                self._lost()
                return
            self._take(json.loads(said))

    def _take(self, told: dict[str, Any]) -> None:
        if not self._ready.done():
            self._ready.set_result(told)
        elif (ending := self._running.pop(told.pop("number"), None)) and not ending.done():
            ending.set_result(Ending(**{"status": -1, **told}))

    def _lost(self) -> None:
        """Hangs up; a zygote ends when it is hung up on."""
        if not self.alive:
            return
        self.alive = False
        asyncio.get_running_loop().remove_reader(self._control)
        self._control.close()
        if not self._ready.done():
            self._ready.set_result({"unfit": "its process ended at the start", "hint": ""})
        for ending in self._running.values():
            if not ending.done():
                ending.set_result(Ending(-1, broken=BROKEN))
        self._running.clear()

"""``talksy serve --workers N``: N processes that share a port, and the one that minds them.

Each worker is a node of its own, with its own connections to the database and to Redis.
"""

import asyncio
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import cast

import structlog

from talksy.cli.listening import tell_listening
from talksy.config import Settings

log = structlog.get_logger(__name__)

PAUSE_SECONDS = 0.5
"""Before a worker that ended is started again; doubled each time it has not lived long."""
LONGEST_SECONDS = 30.0
LONG_SECONDS = 60.0
"""A worker that lived so long begins again with the shortest pause."""
READY, DRAINED = b"ready\n", b"drained\n"
"""What a worker says."""


def serve_workers(settings: Settings, count: int) -> None:
    """Blocks until all workers have ended. Exits with 1 where one could not start, or was cut."""
    if settings.redis_url is None:
        sys.exit(
            "talksy: --workers needs REDIS_URL: by way of Redis the workers hear of each other"
        )
    if not settings.shares_database:
        sys.exit("talksy: --workers needs PostgreSQL in DATABASE_URL: SQLite is for one process")
    if not asyncio.run(_serve(settings, count)):
        sys.exit(1)


async def _serve(settings: Settings, count: int) -> bool:
    """Whether all went well."""
    with (
        closing(Port(settings.host, settings.port)) as port,
        tempfile.TemporaryDirectory(prefix="talksy-") as folder,
    ):
        crew = Crew(settings, port, Path(folder), count)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, crew.stop)
        # Without a certificate that may be renewed it says that the terminal has gone.
        loop.add_signal_handler(signal.SIGHUP, crew.renew if settings.tls_cert else crew.stop)
        return await crew.run()


class Port:
    """A port for many processes; the real one where 0 was asked for.

    Linux gives new connections to the sockets of a port in equal shares, so there each worker has
    its own. Elsewhere they take from one.
    """

    def __init__(self, host: str, port: int, *, apart: bool = sys.platform == "linux") -> None:
        """Raises ``OSError`` where the port is taken."""
        self._apart = apart
        self._kept: list[socket.socket] = []
        """Where each worker has its own, nobody listens on these: they keep the port."""
        with ExitStack() as stack:
            for family, address in _addresses(host):
                # By itself first: one that is to be shared does not see that a port is taken.
                kept = _bound(family, (address, self.number or port))
                if apart:
                    found = kept.getsockname()[1]
                    kept.close()
                    kept = _bound(family, (address, found), shared=True)
                self._kept.append(stack.enter_context(kept))
            stack.pop_all()

    @property
    def number(self) -> int:
        return int(self._kept[0].getsockname()[1]) if self._kept else 0

    @contextmanager
    def sockets(self) -> Iterator[Sequence[socket.socket]]:
        """For one worker to inherit."""
        if not self._apart:
            yield self._kept
            return
        with ExitStack() as stack:
            yield [
                # Closed here as soon as the worker has it: what a dead one leaves open is given
                # connections that nobody takes.
                stack.enter_context(_bound(kept.family, kept.getsockname()[:2], shared=True))
                for kept in self._kept
            ]

    def close(self) -> None:
        """Gives the port back."""
        for kept in self._kept:
            kept.close()


def _addresses(host: str) -> list[tuple[socket.AddressFamily, str]]:
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((family, str(address[0])) for family, _, _, _, address in found))


def _bound(
    family: socket.AddressFamily, address: tuple[str, int], *, shared: bool = False
) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(address)
    except OSError:
        made.close()
        raise
    return made


class Worker:
    """A process as its parent has it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.ready = False
        self.drained = False
        self._process: asyncio.subprocess.Process | None = None
        self._writer: asyncio.StreamWriter | None = None

    @property
    def lives(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self, command: Sequence[str], fds: Sequence[int]) -> asyncio.StreamReader:
        """What it says, a line each."""
        self.ready = self.drained = False
        ours, theirs = socket.socketpair()
        with theirs:
            reader, self._writer = await asyncio.open_connection(sock=ours)
            self._process = await asyncio.create_subprocess_exec(
                *command,
                stdin=theirs.fileno(),
                pass_fds=fds,
                process_group=0,  # Ctrl-C is for the parent, which passes it on
            )
        log.info("worker_started", worker=self.number, pid=self._process.pid)
        return reader

    async def ended(self) -> int:
        """Its exit code; negative is the signal that ended it."""
        process = cast("asyncio.subprocess.Process", self._process)
        code = await process.wait()
        self.dismiss()
        return code

    def signal(self, number: int) -> None:
        """Nothing where it has ended, or has not begun."""
        if self._process is not None and self.lives:
            self._process.send_signal(number)

    def dismiss(self) -> None:
        """It may go, as soon as it has drained."""
        if self._writer is not None:
            self._writer.close()


class Crew:
    """The workers: started, started again where they end unasked, and stopped together."""

    def __init__(self, settings: Settings, port: Port, folder: Path, count: int) -> None:
        self._settings = settings
        self._port = port
        self._folder = folder
        self._workers = [Worker(number) for number in range(1, count + 1)]
        self._ahead = asyncio.Event()
        """The first is ready, or never will be: what keeps it from starting would keep them all."""
        self._stopping = asyncio.Event()
        self._serving = False
        self._well = True

    async def run(self) -> bool:
        """Until all have ended; whether each did as it was told."""
        await asyncio.gather(*(self._mind(worker) for worker in self._workers))
        if self._serving:
            log.info("stopped")
        return self._well

    def stop(self) -> None:
        """Asks all to drain; the second time they end at once."""
        if not self._stopping.is_set():
            log.info("draining")
        self._stopping.set()
        self._ahead.set()
        for worker in self._workers:
            worker.signal(signal.SIGTERM)

    def renew(self) -> None:
        """Certificates may have been renewed. Who is about to start reads the new ones anyway, and
        would be ended by the signal.
        """
        for worker in self._workers:
            if worker.ready:
                worker.signal(signal.SIGHUP)

    async def _mind(self, worker: Worker) -> None:
        """Keeps one worker running."""
        loop, pause = asyncio.get_running_loop(), PAUSE_SECONDS
        if worker is not self._workers[0]:
            await self._ahead.wait()
        while not self._stopping.is_set():
            began = loop.time()
            code = await self._live(worker)
            if self._stopping.is_set():
                # One that was told before it listened knew no better than to end.
                self._well &= code == 0 or (code == -signal.SIGTERM and not worker.ready)
            elif not self._serving:
                self._well = False  # it has said why, and the next one would say the same
                self.stop()
            else:
                pause = PAUSE_SECONDS if loop.time() - began > LONG_SECONDS else pause
                log.error("worker_ended", worker=worker.number, code=code, again_in=pause)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), pause)
                pause = min(2 * pause, LONGEST_SECONDS)
        self._dismiss()

    async def _live(self, worker: Worker) -> int:
        """From its start to its end; its exit code."""
        with self._port.sockets() as sockets:
            fds = [each.fileno() for each in sockets]
            words = await worker.start(self._command(worker.number, fds), fds)
        if self._stopping.is_set():
            worker.signal(signal.SIGTERM)
        with suppress(ConnectionError):
            async for word in words:
                self._hear(worker, word)
        return await worker.ended()

    def _command(self, number: int, fds: Sequence[int]) -> list[str]:
        command = [sys.executable, "-m", "talksy", "worker", str(number), str(len(self._workers))]
        return [*command, str(self._folder), *(f"--listen={fd}" for fd in fds)]

    def _hear(self, worker: Worker, word: bytes) -> None:
        if word == READY:
            worker.ready = True
            self._ahead.set()
            if self._serving:
                log.info("worker_replaced", worker=worker.number)
            elif all(each.ready for each in self._workers):
                self._serving = True
                tell_listening(self._settings, self._port.number, workers=len(self._workers))
        elif word == DRAINED:
            worker.drained = True
            if self._stopping.is_set():
                self._dismiss()
            else:
                worker.dismiss()  # somebody else told it to stop

    def _dismiss(self) -> None:
        """Lets all go when the last has drained: until then clients may come through the others."""
        if all(worker.drained or not worker.lives for worker in self._workers):
            for worker in self._workers:
                worker.dismiss()

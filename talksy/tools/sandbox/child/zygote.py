"""The zygote: a small process that forks a child for each call, ends it in time and reaps it.

It never sees what a call is given or what it returns: those go by a channel between the server and
the child. So there is nothing in its memory that a child could read of another's.
"""

import gc
import json
import os
import selectors
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple, NoReturn

from talksy.tools.sandbox.child import kernel, locks, preload, spaces
from talksy.tools.sandbox.child.filter import Filter, program
from talksy.tools.sandbox.child.work import CHANNEL, Home, answer

MOST = 1 << 20
"""Bytes of an order."""
ZONES = Path("/usr/share/zoneinfo")
GENERIC = ""
"""The name under which code without a module is run."""


class Unfit(Exception):
    """A layer is missing. ``hint`` says what would help."""

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(reason)
        self.reason, self.hint = reason, hint


class Bounds(NamedTuple):
    """What a call may take."""

    memory: int
    cpu_seconds: float
    output: int


class Run(NamedTuple):
    """A child."""

    number: int
    pid: int
    ends_at: float


def serve(descriptor: int) -> None:
    """Prepares, says so on the socket ``descriptor``, and takes orders until it is closed."""
    # What is made on the way into a root of its own is to be found by who is no root any more.
    os.umask(0o022)
    with socket.socket(fileno=descriptor) as control:
        try:
            zygote = Zygote(control, json.loads(control.recv(MOST)))
        except Unfit as unfit:
            control.send(json.dumps({"unfit": unfit.reason, "hint": unfit.hint}).encode())
            return
        except Exception as error:  # noqa: BLE001 - the server says it where it is read
            said = f"it could not be prepared: {type(error).__name__}: {error}"
            control.send(json.dumps({"unfit": said, "hint": ""}).encode())
            return
        control.send(json.dumps({"layers": zygote.layers, "missing": zygote.missing}).encode())
        zygote.run()


class Zygote:
    """Forks, kills and reaps."""

    def __init__(self, control: socket.socket, order: Mapping[str, Any]) -> None:
        """Raises ``Unfit``."""
        preload.load()
        # Where a machine has no memory left, it is better that it ends a tool than the server.
        Path("/proc/self/oom_score_adj").write_text("1000")
        self._control = control
        self._homes = {name: Home(*home) for name, home in order["homes"].items()}
        self._bounds = Bounds(*order["bounds"])
        self._base = locks.address_space()
        self._filter = _filter()
        library = Path(os.__file__).parent
        seen = _outermost([library, ZONES, *map(_place, self._homes.values())])
        self._processes: int | None = None
        """The namespace of processes that children's are made in."""
        self.layers = ["limits", "no new privileges", "system calls (seccomp)"]
        self.missing = spaces.attempt(seen)
        root = os.geteuid() == 0
        if self.missing is None:
            self._enter(seen)
            self.layers += spaces.NAMES
        elif root:
            _give_up_root()
        if root:
            self.layers.append("another user")
        _die_with_parent()
        self._rules = {GENERIC: self._rules_for(library, None)}
        for name, home in self._homes.items():
            self._rules[name] = self._rules_for(library, home)
        self.layers.append(f"files (Landlock {self._rules[GENERIC].version})")
        self._runs: dict[int, Run] = {}
        self._selector = selectors.DefaultSelector()

    def _rules_for(self, library: Path, home: Home | None) -> locks.Landlock:
        """What a module may read: the standard library, and what is its own."""
        rules = _landlock()
        try:
            rules.allow(library, names_only=True)
            for path in locks.readable(library):
                rules.allow(path)
            if ZONES.is_dir():
                rules.allow(ZONES)
            if home is not None:
                rules.allow(_place(home))
        except OSError as error:
            without = f"; there are no namespaces ({self.missing})" if self.missing else ""
            raise Unfit(
                f"{error.filename} cannot be read by uid {os.getuid()}{without}",
                "install Python and the tools where every user may read them",
            ) from None
        return rules

    def run(self) -> None:
        """Until the server is gone."""
        sys.path[:] = [str(Path(os.__file__).parent)]
        kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
        gc.collect()
        gc.freeze()
        self._selector.register(self._control, selectors.EVENT_READ)
        while True:
            for key, _ in self._selector.select(self._wait()):
                if isinstance(key.data, Run):
                    self._reap(key.data, key.fd)
                elif not self._hear():
                    # Its children end with it: by their namespace, or by the signal of its death.
                    os._exit(0)
            for run in self._runs.values():
                if monotonic() >= run.ends_at:
                    os.kill(run.pid, signal.SIGKILL)

    def _wait(self) -> float | None:
        ends = [run.ends_at for run in self._runs.values()]
        return max(min(ends) - monotonic(), 0.0) if ends else None

    def _hear(self) -> bool:
        """Does what the server wants; False once it is gone."""
        said, descriptors, _, _ = socket.recv_fds(self._control, MOST, 1)
        if not said:
            return False
        order = json.loads(said)
        if order["deed"] == "kill":
            if (run := self._runs.get(order["number"])) is not None:
                os.kill(run.pid, signal.SIGKILL)
            return True
        (channel,) = descriptors
        self._fork(order, channel)
        return True

    def _fork(self, order: Mapping[str, Any], channel: int) -> None:
        ends_at = monotonic() + order["seconds"]
        try:
            pid = self._divide()
        except OSError as error:
            self._tell(order["number"], broken=f"no process could be had: {error.strerror}")
            os.close(channel)
            return
        if pid == 0:
            self._be_child(order, channel)
        os.close(channel)
        run = Run(order["number"], pid, ends_at)
        self._runs[run.number] = run
        self._selector.register(os.pidfd_open(pid), selectors.EVENT_READ, run)

    def _divide(self) -> int:
        """Forks, into a namespace of its own where there can be one."""
        if self._processes is None:
            return os.fork()
        kernel.unshare(kernel.CLONE_NEWPID)
        pid = -1
        try:
            pid = os.fork()
        finally:
            if pid != 0:
                # The next one is to be beside this one, not below it.
                kernel.setns(self._processes, kernel.CLONE_NEWPID)
        return pid

    def _be_child(self, order: Mapping[str, Any], channel: int) -> NoReturn:
        try:
            self._lock(order["module"], channel)
            home = self._homes.get(order["module"])
            answer(order["deed"], home, self._bounds.output)
        finally:
            # Whatever went wrong: a child is never the zygote.
            os._exit(70)

    def _lock(self, module: str, channel: int) -> None:
        """Everything that holds a tool in, before a byte of it is read."""
        os.nice(locks.NICE)
        os.dup2(1, 2)
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        self._rules[module].apply()
        # Last of all the descriptors: it may have been the channel's.
        os.dup2(channel, CHANNEL)
        os.closerange(CHANNEL + 1, 1 << 20)
        locks.set_limits(
            memory=self._base + self._bounds.memory, cpu_seconds=self._bounds.cpu_seconds
        )
        kernel.drop_capabilities()
        _die_with_parent()
        kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
        self._filter.apply()

    def _reap(self, run: Run, descriptor: int) -> None:
        self._selector.unregister(descriptor)
        os.close(descriptor)
        _, status, usage = os.wait4(run.pid, 0)
        del self._runs[run.number]
        self._tell(
            run.number,
            status=os.waitstatus_to_exitcode(status),
            late=monotonic() >= run.ends_at,
            cpu=usage.ru_utime + usage.ru_stime,
        )

    def _tell(self, number: int, **ending: object) -> None:
        self._control.send(json.dumps({"number": number, **ending}).encode())

    def _enter(self, seen: list[Path]) -> None:
        """Becomes the first process of a namespace; who was there before waits for its end."""
        proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        spaces.enter(seen)
        if (pid := os.fork()) != 0:
            self._control.close()
            _die_with_parent()
            os.waitpid(pid, 0)
            os._exit(0)
        self._processes = os.open("self/ns/pid", os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc)
        os.close(proc)


def _die_with_parent() -> None:
    # Forgotten at each change of user: so it is said after the last.
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)


def _outermost(paths: Sequence[Path]) -> list[Path]:
    """Those that there are, without what lies below another."""
    return [
        path
        for path in dict.fromkeys(paths)
        if path.exists() and not any(other in path.parents for other in paths)
    ]


def _landlock() -> locks.Landlock:
    try:
        return locks.Landlock()
    except OSError as error:
        raise Unfit(
            f"the kernel gives no Landlock: {error.strerror}",
            "it needs Linux 5.13 or newer, landlock among the lsm= of its command line, and in a "
            "container a seccomp profile that lets landlock_create_ruleset through (Docker's does "
            "from version 23 on)",
        ) from None


def _place(home: Home) -> Path:
    return Path(home.file if home.folder is None else home.folder)


def _filter() -> Filter:
    try:
        return Filter(program(kernel.MACHINE))
    except KeyError:
        raise Unfit(
            f"there is no list of system calls for {kernel.MACHINE}", "use x86_64 or aarch64"
        ) from None


def _give_up_root() -> None:
    try:
        spaces.become_nobody()
    except OSError as error:
        raise Unfit(
            f"root cannot become another user: {error.strerror}",
            "start the server as another user, or leave it SETUID and SETGID",
        ) from None

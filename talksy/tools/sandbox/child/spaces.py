"""Namespaces: a root with nothing in it, no network, and processes that see nobody else's."""

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from talksy.tools.sandbox.child import kernel

NAMES = ("own root", "own processes", "no network", "own IPC", "own users")
"""The layers that ``enter`` gives."""
OTHERS = kernel.CLONE_NEWNS | kernel.CLONE_NEWNET | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS
USERS = kernel.CLONE_NEWUSER | kernel.CLONE_NEWPID
NOBODY = 65533
"""Who root becomes. No account of the usual systems has this number, and containers map it."""
BASE = "/tmp"  # noqa: S108 - any folder will do: what is mounted on it only this process sees


def attempt(seen: Iterable[Path]) -> str | None:
    """Why ``enter`` would fail; None where it would not. Changes nothing here."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        said = b""
        try:
            enter(seen)
            if os.fork() == 0:
                os._exit(0)
            os.wait()
        except OSError as error:
            said = f"{error.filename or 'fork'}: {error.strerror}".encode()
        except BaseException as error:  # noqa: BLE001 - the parent tells it
            said = type(error).__name__.encode()
        os.write(writing, said)
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:  # noqa: PTH123 - a descriptor has no path
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    return said.decode() or (f"status {status}" if status else None)


def enter(seen: Iterable[Path]) -> None:
    """Leaves everything behind but ``seen``, which can be read where it was.

    The next fork is the first process of a namespace of its own. Root becomes ``NOBODY``, since
    what a user namespace gives needs no root.
    """
    me = os.open("/proc/self", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    root = os.geteuid() == 0
    if root:
        kernel.unshare(OTHERS)
        _leave_root(seen)
        become_nobody()
    user, group = os.getuid(), os.getgid()
    kernel.unshare(USERS if root else USERS | OTHERS)
    # Only who may be looked at may be written about.
    kernel.prctl(kernel.PR_SET_DUMPABLE, 1)
    for name, line in (
        ("setgroups", "deny"),
        ("uid_map", f"{user} {user} 1"),
        ("gid_map", f"{group} {group} 1"),
    ):
        descriptor = os.open(name, os.O_WRONLY | os.O_CLOEXEC, dir_fd=me)
        os.write(descriptor, line.encode())
        os.close(descriptor)
    os.close(me)
    if not root:
        _leave_root(seen)


def become_nobody() -> None:
    """Gives up root for good."""
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)


def _leave_root(seen: Iterable[Path]) -> None:
    """Makes a root of its own that has ``seen`` in it, all read-only."""
    kernel.mount(None, "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
    # By descriptor: what lies below BASE is covered in a moment.
    sources = {path: os.open(path, os.O_PATH | os.O_CLOEXEC) for path in seen}
    kernel.mount("talksy", BASE, "tmpfs", 0, "size=1m,mode=755")
    for path, source in sources.items():
        target = Path(f"{BASE}{path}")
        target.parent.mkdir(parents=True, exist_ok=True)
        if stat.S_ISDIR(os.fstat(source).st_mode):
            target.mkdir(exist_ok=True)
        else:
            target.touch()
        flags = kernel.MS_BIND | kernel.MS_REC
        kernel.mount(f"/proc/self/fd/{source}", str(target), None, flags)
        kernel.make_read_only(str(target), recursive=True)
        os.close(source)
    kernel.make_read_only(BASE, recursive=False)
    os.chdir(BASE)
    kernel.call("pivot_root", b".", b".")
    kernel.unmount(".")
    os.chdir("/")

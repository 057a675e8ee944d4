"""Tries the locks from inside, once at the start: what should hold is seen to hold."""

import ctypes
import errno
import os
import socket

from talksy.tools.sandbox.child.kernel import MACHINE

REFUSED = {errno.EPERM, errno.EACCES, errno.ENOSYS, errno.ENOENT}


def holes() -> list[str]:
    """What can be done that should not be, and what cannot that should; empty where all is well."""
    found = [f"reading {path}" for path in ("/etc/passwd", "/proc/self/environ") if _opens(path)]
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM).close()
        found.append("making a socket")
    except OSError:
        pass
    try:
        if os.fork() == 0:
            os._exit(0)
        found.append("forking")
    except OSError:
        pass
    if MACHINE in {"x86_64", "aarch64"} and ctypes.CDLL(None).ptrace(0, 0, 0, 0) == 0:
        found.append("tracing")
    try:
        import colorsys  # noqa: F401 - any module that is not loaded yet
    except ImportError:
        found.append("not: importing the standard library")
    return found


def _opens(path: str) -> bool:
    try:
        os.close(os.open(path, os.O_RDONLY))
    except OSError as error:
        return error.errno not in REFUSED
    return True

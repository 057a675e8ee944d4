"""What a child is locked in by, before it reads anything that is not ours."""

import math
import os
import resource
import struct
from collections.abc import Iterable
from pathlib import Path

from talksy.tools.sandbox.child import kernel

NICE = 10
"""A tool gives way to the server: a busy one gets a tenth of a processor that both want."""

_EXECUTE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 2, 1 << 3
_FILE_RIGHTS = (0, 13, 14, 15, 15, 16)
"""How many kinds of access the kernel can shut, by the version of its Landlock."""
_NETWORK_FROM, _SCOPES_FROM = 4, 6
_VERSION = 1
_BENEATH = 1


class Landlock:
    """A set of what may be read. Made once, applied in each child."""

    version: int

    def __init__(self) -> None:
        """Raises ``OSError`` where the kernel has none."""
        self.version = kernel.call("landlock_create_ruleset", None, 0, _VERSION)
        files = (1 << _FILE_RIGHTS[min(self.version, len(_FILE_RIGHTS) - 1)]) - 1
        # Everything the kernel can shut: files, TCP, and from version 6 on signals and abstract
        # sockets.
        words = [files, 0b11, 0b11]
        known = 1 + (self.version >= _NETWORK_FROM) + (self.version >= _SCOPES_FROM)
        handled = struct.pack(f"={known}Q", *words[:known])
        self._rules = kernel.call("landlock_create_ruleset", handled, len(handled), 0)

    def allow(self, path: Path, *, names_only: bool = False) -> None:
        """Lets a file be read, or a folder with all that is below it."""
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        rights = _READ_DIR if names_only else _READ_FILE | _READ_DIR * path.is_dir()
        rule = struct.pack("=Qi", rights, descriptor)
        kernel.call("landlock_add_rule", self._rules, _BENEATH, rule, 0)
        os.close(descriptor)

    def apply(self) -> None:
        """From now on, and for ever, in this process."""
        kernel.call("landlock_restrict_self", self._rules, 0)


def set_limits(*, memory: int, cpu_seconds: float) -> None:
    """``memory`` in bytes of address space, of which the interpreter has taken its part."""
    seconds = math.ceil(cpu_seconds)
    for limit, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
    ):
        _, hard = resource.getrlimit(limit)
        bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(limit, (bound, bound))


def readable(library: Path) -> Iterable[Path]:
    """What belongs to the standard library: not the packages that others put beside it."""
    for path in library.iterdir():
        # A link may lead to what cannot be seen in here.
        if path.name not in {"site-packages", "dist-packages", "test"} and path.exists():
            yield path


def address_space() -> int:
    """The bytes of address space this process has taken."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()

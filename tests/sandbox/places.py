"""Where the attempts are made: as root and as an ordinary user, with namespaces and without."""

import errno
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from talksy.tools.sandbox.child import kernel
from talksy.tools.sandbox.child.filter import ALLOW, ERROR, GIVE, IF_EQUAL, LOAD, Filter, Step

USER = 65534
NO_NAMESPACES = ("unshare", "setns", "mount", "pivot_root")
"""What Docker's own profile refuses to a container."""
_NUMBERS = {
    "x86_64": {"unshare": 272, "setns": 308, "mount": 165, "pivot_root": 155},
    "aarch64": {"unshare": 97, "setns": 268, "mount": 40, "pivot_root": 41},
}


@dataclass(frozen=True)
class Place:
    """Who makes them, and what of the kernel is kept from whom."""

    name: str
    root: bool
    closed: tuple[str, ...] = ()

    def enter(self) -> None:
        """Makes this process such a one, for good."""
        if os.geteuid() == 0 and (self.closed or not self.root):
            _open_to_all([Path(sys.prefix), Path(sys.base_prefix), Path(__file__).parents[2]])
            if not self.root:
                os.setgroups([])
                os.setresgid(USER, USER, USER)
                os.setresuid(USER, USER, USER)
        if self.closed:
            close(self.closed)


PLACES = (
    Place("root", True),
    Place("root, no namespaces", True, NO_NAMESPACES),
    Place("user", False),
    Place("user, no namespaces", False, NO_NAMESPACES),
)


def possible() -> list[Place]:
    """Those that this process can become."""
    return [place for place in PLACES if not place.root or os.geteuid() == 0]


def close(names: Iterable[str]) -> None:
    """Refuses system calls to this process and all it starts, as a container's profile does."""
    numbers = {**_NUMBERS[kernel.MACHINE], "landlock_create_ruleset": 444}
    refused = Step(GIVE, 0, 0, ERROR | errno.EPERM)
    steps = [Step(LOAD, 0, 0, 0)]
    for name in names:
        steps += [Step(IF_EQUAL, 0, 1, numbers[name]), refused]
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    Filter([*steps, Step(GIVE, 0, 0, ALLOW)]).apply()


def _open_to_all(needed: Iterable[Path]) -> None:
    """Lets every user come to ``needed``, in this process' own view of the files alone."""
    closed = {
        next((above for above in reversed(path.parents) if not above.stat().st_mode & 0o1), None)
        for path in needed
    } - {None}
    if not closed:
        return
    kernel.unshare(kernel.CLONE_NEWNS)
    kernel.mount(None, "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
    sources = {path: os.open(path, os.O_PATH) for path in needed}
    for folder in closed:
        kernel.mount("tests", str(folder), "tmpfs", 0, "size=1m,mode=755")
    for path, source in sources.items():
        if any(folder in path.parents for folder in closed):
            path.mkdir(parents=True, exist_ok=True)
            kernel.mount(f"/proc/self/fd/{source}", str(path), None, kernel.MS_BIND)
        os.close(source)

"""Calls of the Linux kernel that Python has no names for. All raise ``OSError``."""

import ctypes
import os

MACHINE = os.uname().machine

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_NO_NEW_PRIVS = 38

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
MNT_DETACH = 2
_RECURSIVE = 0x8000
_READ_ONLY = 0x1 | 0x2 | 0x4  # and no set-user-id, no devices
_AT_FDCWD = -100

_NUMBERS = {
    "x86_64": {"pivot_root": 155, "capset": 126, "seccomp": 317},
    "aarch64": {"pivot_root": 41, "capset": 91, "seccomp": 277},
}
_EVERYWHERE = {
    "mount_setattr": 442,
    "landlock_create_ruleset": 444,
    "landlock_add_rule": 445,
    "landlock_restrict_self": 446,
}

_libc = ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: object) -> int:
    """A system call by its name; arguments are numbers, bytes, structures or None."""
    number = _EVERYWHERE.get(name) or _NUMBERS[MACHINE][name]
    words = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    return _checked(_libc.syscall(ctypes.c_long(number), *words), name)


def prctl(option: int, value: int) -> None:
    """Sets something of this process."""
    words = [ctypes.c_ulong(each) for each in (value, 0, 0, 0)]
    _checked(_libc.prctl(option, *words), "prctl")


def unshare(flags: int) -> None:
    """Leaves the namespaces that ``flags`` name for new ones."""
    _checked(_libc.unshare(flags), "unshare")


def setns(descriptor: int, kind: int) -> None:
    """Enters a namespace."""
    _checked(_libc.setns(descriptor, kind), "setns")


def mount(source: str | None, target: str, kind: str | None, flags: int, data: str = "") -> None:
    """Mounts ``source``, or changes how ``target`` is mounted."""
    words = [text.encode() if text is not None else None for text in (source, target, kind)]
    _checked(_libc.mount(*words, ctypes.c_ulong(flags), data.encode()), f"mount {target}")


def unmount(target: str) -> None:
    """Takes a mount away, as soon as nobody uses it any more."""
    _checked(_libc.umount2(target.encode(), MNT_DETACH), f"unmount {target}")


class _MountAttributes(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "userns")]


def make_read_only(target: str, *, recursive: bool) -> None:
    """Lets nobody write below a mount."""
    attributes = _MountAttributes(_READ_ONLY, 0, 0, 0)
    flags = _RECURSIVE if recursive else 0
    size = ctypes.sizeof(attributes)
    call("mount_setattr", _AT_FDCWD, target.encode(), flags, ctypes.byref(attributes), size)


def drop_capabilities() -> None:
    """Gives up all that a user namespace, or root, gave."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    none = (ctypes.c_uint32 * 6)()
    call("capset", ctypes.byref(header), ctypes.byref(none))


def _checked(result: int, name: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)
    return result

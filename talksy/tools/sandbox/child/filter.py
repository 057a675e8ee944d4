"""The seccomp filter: a program that the kernel runs at each system call."""

import ctypes
import errno
from collections.abc import Sequence
from typing import NamedTuple

from talksy.tools.sandbox.child import kernel
from talksy.tools.sandbox.child.syscalls import ALLOWED, AUDIT, NUMBERS

ALLOW, KILL, ERROR = 0x7FFF0000, 0x80000000, 0x00050000
"""What a filter answers; to the last an errno is added."""

LOAD, MASK, GIVE = 0x20, 0x54, 0x06
IF_EQUAL, IF_AT_LEAST = 0x15, 0x35

_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
"""Where they stand in what a filter is shown."""
_X32 = 0x40000000
"""Calls of another kind under the same architecture begin here."""

PROT_EXEC = 4
READING = (0, 1, 2, 3, 4, 1030)
"""Of ``fcntl``: descriptors copied, flags read and set. Without F_SETOWN, by which the kernel sends
signals in somebody's name."""
HARMLESS = (0x5421, 0x5451)
"""Of ``ioctl``: not to wait, and not to be inherited."""
WRITING = 0o3 | 0o100 | 0o1000 | 0o2000 | 0o20000000
"""Of ``openat``: to write, to create, to cut, to append, to make a nameless file."""
UNIX, STREAM, KIND = 1, 1, 0xF


class Step(NamedTuple):
    """One instruction of classic BPF."""

    code: int
    yes: int
    no: int
    value: int


def program(machine: str) -> list[Step]:
    """What is allowed on ``machine``; raises ``KeyError`` for one that is not known."""
    numbers = NUMBERS[machine]
    steps = [_load(_ARCHITECTURE), Step(IF_EQUAL, 1, 0, AUDIT[machine]), _give(KILL)]
    steps += [_load(_NUMBER), Step(IF_AT_LEAST, 0, 1, _X32), _give(KILL)]
    for name in ALLOWED:
        if name in numbers:
            steps += [Step(IF_EQUAL, 0, 1, numbers[name]), _give(ALLOW)]
    for name, rule in _rules().items():
        # What a rule says no to falls through to the next; there is none, so it is refused.
        steps += [Step(IF_EQUAL, 0, len(rule), numbers[name]), *rule]
    return [*steps, _give(ERROR | errno.EPERM)]


def _rules() -> dict[str, list[Step]]:
    """What is allowed with some arguments, or refused in a way that libraries understand."""
    no = _give(ERROR | errno.EPERM)
    yes = _give(ALLOW)
    no_code = [_argument(2), Step(MASK, 0, 0, PROT_EXEC), Step(IF_EQUAL, 0, 1, 0), yes, no]
    pair = [_argument(0), Step(IF_EQUAL, 0, 4, UNIX), _argument(1), Step(MASK, 0, 0, KIND)]
    return {
        "mmap": no_code,
        "mprotect": no_code,
        "openat": [_argument(2), Step(MASK, 0, 0, WRITING), Step(IF_EQUAL, 0, 1, 0), yes, no],
        "fcntl": [_argument(1), *_any(READING), no],
        # What asyncio wakes itself by. Datagrams could be sent to others.
        "socketpair": [*pair, Step(IF_EQUAL, 0, 1, STREAM), yes, no],
        "sendto": _null(4),
        # Limits may be read.
        "prlimit64": _null(2),
        "ioctl": [_argument(1), *_any(HARMLESS), _give(ERROR | errno.ENOTTY)],
        # Libraries try the older call then, whose flags a filter can see; it is refused.
        "clone3": [_give(ERROR | errno.ENOSYS)],
    }


def _any(values: Sequence[int]) -> list[Step]:
    """Allowed where what was loaded is one of ``values``."""
    return [step for each in values for step in (Step(IF_EQUAL, 0, 1, each), _give(ALLOW))]


def _null(place: int) -> list[Step]:
    """Allowed where an argument, a pointer, is null in both its halves."""
    zero = Step(IF_EQUAL, 0, 3, 0)
    low, high = _argument(place), _argument(place, upper=True)
    yes, no = _give(ALLOW), _give(ERROR | errno.EPERM)
    return [low, zero, high, Step(IF_EQUAL, 0, 1, 0), yes, no]


def _argument(place: int, *, upper: bool = False) -> Step:
    """Loads one half of an argument; both architectures put the lower one first."""
    return _load(_ARGUMENTS + 8 * place + 4 * upper)


def _load(offset: int) -> Step:
    return Step(LOAD, 0, 0, offset)


def _give(answer: int) -> Step:
    return Step(GIVE, 0, 0, answer)


class _Instruction(ctypes.Structure):
    _fields_ = [
        ("code", ctypes.c_uint16),
        ("yes", ctypes.c_uint8),
        ("no", ctypes.c_uint8),
        ("value", ctypes.c_uint32),
    ]


class _Program(ctypes.Structure):
    _fields_ = [
        ("length", ctypes.c_uint16),
        ("steps", ctypes.POINTER(_Instruction)),
    ]


class Filter:
    """A filter that is ready to be put in force."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = (_Instruction * len(steps))(*(_Instruction(*step) for step in steps))
        self._program = _Program(len(steps), self._steps)

    def apply(self) -> None:
        """From now on, and for ever, in this process."""
        set_filter = 1
        kernel.call("seccomp", set_filter, 0, ctypes.byref(self._program))

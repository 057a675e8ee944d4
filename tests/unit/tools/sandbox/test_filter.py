"""The filter's program, run here by a small machine of our own, for every architecture."""

import errno
from collections.abc import Sequence

import pytest

from talksy.tools.sandbox.child.filter import (
    ALLOW,
    ERROR,
    GIVE,
    IF_AT_LEAST,
    IF_EQUAL,
    KILL,
    LOAD,
    MASK,
    program,
)
from talksy.tools.sandbox.child.syscalls import ALLOWED, AUDIT, CHECKED, NUMBERS

REFUSED = ERROR | errno.EPERM
MACHINES = pytest.mark.parametrize("machine", NUMBERS)


def answer(
    machine: str, number: int, arguments: Sequence[int] = (), audit: int | None = None
) -> int:
    """What the kernel would be told, by the semantics of classic BPF."""
    words = [number, AUDIT[machine] if audit is None else audit, 0, 0]
    for each in (*arguments, *[0] * (6 - len(arguments))):
        words += [each & 0xFFFFFFFF, each >> 32]
    place, held = 0, 0
    steps = program(machine)
    while True:
        step = steps[place]
        place += 1
        match step.code:
            case code if code == LOAD:
                held = words[step.value // 4]
            case code if code == MASK:
                held &= step.value
            case code if code == IF_EQUAL:
                place += step.yes if held == step.value else step.no
            case code if code == IF_AT_LEAST:
                place += step.yes if held >= step.value else step.no
            case code if code == GIVE:
                return step.value
            case code:
                raise AssertionError(code)


def asked(machine: str, name: str, *arguments: int) -> int:
    return answer(machine, NUMBERS[machine][name], arguments)


@MACHINES
def test_what_is_listed_is_allowed_and_nothing_else(machine: str) -> None:
    numbers = NUMBERS[machine]
    allowed = {numbers[name] for name in ALLOWED if name in numbers}
    checked = {numbers[name] for name in CHECKED}
    for number in range(1024):
        if number not in checked:
            assert answer(machine, number) == (ALLOW if number in allowed else REFUSED), number


@MACHINES
def test_another_architecture_ends_the_process(machine: str) -> None:
    (other,) = AUDIT.keys() - {machine}
    assert answer(machine, NUMBERS[machine]["read"], audit=AUDIT[other]) == KILL
    assert answer(machine, 0x40000000 + NUMBERS[machine]["read"]) == KILL


@MACHINES
@pytest.mark.parametrize("name", ["mmap", "mprotect"])
def test_memory_is_never_to_be_executed(machine: str, name: str) -> None:
    assert asked(machine, name, 0, 4096, 0b011) == ALLOW
    assert asked(machine, name, 0, 4096, 0b100) == REFUSED
    assert asked(machine, name, 0, 4096, 0b111) == REFUSED


@MACHINES
@pytest.mark.parametrize("flags", [0o1, 0o2, 0o100, 0o1000, 0o2000, 0o20200000])
def test_files_are_opened_to_be_read(machine: str, flags: int) -> None:
    assert asked(machine, "openat", 0, 0, 0o2000000) == ALLOW
    assert asked(machine, "openat", 0, 0, 0o2000000 | flags) == REFUSED


@MACHINES
def test_nobody_has_the_kernel_send_signals(machine: str) -> None:
    set_flags, set_owner, set_signal = 4, 8, 10
    assert asked(machine, "fcntl", 3, set_flags) == ALLOW
    assert asked(machine, "fcntl", 3, set_owner) == REFUSED
    assert asked(machine, "fcntl", 3, set_signal) == REFUSED


@MACHINES
def test_a_pair_of_sockets_is_a_stream_to_oneself(machine: str) -> None:
    unix, inet, stream, datagrams, close_on_exec = 1, 2, 1, 2, 0o2000000
    assert asked(machine, "socketpair", unix, stream | close_on_exec) == ALLOW
    assert asked(machine, "socketpair", unix, datagrams) == REFUSED
    assert asked(machine, "socketpair", inet, stream) == REFUSED
    assert asked(machine, "sendto", 3, 1, 1, 0, 0) == ALLOW
    assert asked(machine, "sendto", 3, 1, 1, 0, 4096) == REFUSED
    assert asked(machine, "sendto", 3, 1, 1, 0, 1 << 32) == REFUSED


@MACHINES
def test_limits_are_read_and_not_set(machine: str) -> None:
    assert asked(machine, "prlimit64", 0, 9, 0, 4096) == ALLOW
    assert asked(machine, "prlimit64", 0, 9, 4096, 0) == REFUSED


@MACHINES
def test_what_libraries_can_do_without_they_are_told_so(machine: str) -> None:
    assert asked(machine, "clone3") == ERROR | errno.ENOSYS
    assert asked(machine, "ioctl", 0, 0x5401) == ERROR | errno.ENOTTY

"""Attempts at getting out of the sandbox: what each does, and how it must end.

Whatever gets through says ESCAPED. Each piece of code is a call of its own; the last one is judged.
"""

from dataclasses import dataclass

KERNEL = """
import ctypes, errno, os, platform
libc = ctypes.CDLL(None, use_errno=True)
arm = platform.machine() == "aarch64"
def tried(result):
    return "ESCAPED" if result >= 0 else errno.errorcode[ctypes.get_errno()]
def syscall(intel, other, *words):
    return tried(libc.syscall(ctypes.c_long(other if arm else intel), *words))
"""
"""For the attempts that do not go by Python's own modules."""


@dataclass(frozen=True)
class Attempt:
    """One attempt."""

    area: str
    name: str
    codes: tuple[str, ...]
    held: tuple[str, ...]
    """What comes of it has one of these in it."""
    by: str
    """What holds it, for the table."""
    seconds: float = 5.0


def _a(
    area: str, name: str, code: str | tuple[str, ...], held: str, by: str, seconds: float = 5.0
) -> Attempt:
    codes = (code,) if isinstance(code, str) else code
    return Attempt(area, name, codes, tuple(held.split("|")), by, seconds)


DENIED = "Permission denied|No such file|Operation not permitted"
FILES, CALLS, LIMITS, TIME, SPACE, FORK = (
    "Landlock",
    "seccomp",
    "rlimits",
    "SIGKILL at the deadline",
    "a channel for each call",
    "a process for each call",
)
REFUSED = "'EPERM'"

ATTEMPTS: tuple[Attempt, ...] = (
    # ---- files
    _a("files", "read /etc/passwd", "print('ESCAPED', open('/etc/passwd').read())", DENIED, FILES),
    _a("files", "list the root", "import os\nprint('ESCAPED', os.listdir('/'))", DENIED, FILES),
    _a(
        "files",
        "read the server's code",
        "import pydantic\nprint('ESCAPED', open(pydantic.__file__).read())",
        DENIED,
        FILES,
    ),
    _a(
        "files",
        "climb out of the library",
        "import os\nhome = os.path.dirname(os.__file__)\n"
        "print('ESCAPED', open(home + '/../../../../../../../../etc/passwd').read())",
        DENIED,
        FILES,
    ),
    _a("files", "write to /tmp", "open('/tmp/left', 'w')\nprint('ESCAPED')", DENIED, CALLS),
    _a(
        "files",
        "write into the library",
        "import os\nopen(os.__file__, 'a')\nprint('ESCAPED')",
        DENIED,
        CALLS,
    ),
    _a(
        "files",
        "a temporary file",
        "import tempfile\ntempfile.TemporaryFile()\nprint('ESCAPED')",
        "No usable temporary directory|" + DENIED,
        CALLS,
    ),
    _a(
        "files",
        "a symlink",
        "import os\nos.symlink('/etc/passwd', '/tmp/x')\nprint('ESCAPED')",
        DENIED,
        CALLS,
    ),
    _a(
        "files",
        "remove a file",
        "import os\nos.unlink(os.__file__)\nprint('ESCAPED')",
        DENIED,
        CALLS,
    ),
    _a(
        "files",
        "a file by its handle",
        KERNEL + "tried(libc.open_by_handle_at(3, None, 0))",
        REFUSED,
        CALLS,
    ),
    _a(
        "files",
        "the folder of another",
        "import os\nos.chdir('/')\nprint('ESCAPED')",
        DENIED,
        CALLS,
    ),
    _a("files", "the terminal", "open('/dev/tty')\nprint('ESCAPED')", DENIED, FILES),
    _a(
        "files",
        "the memory of the machine",
        "open('/dev/mem', 'rb')\nprint('ESCAPED')",
        DENIED,
        FILES,
    ),
    _a("files", "/sys", "import os\nos.listdir('/sys/kernel')\nprint('ESCAPED')", DENIED, FILES),
    _a("files", "/dev/shm", "open('/dev/shm/left', 'w')\nprint('ESCAPED')", DENIED, CALLS),
    # ---- the server's secrets
    _a(
        "/proc",
        "the environment of the server",
        "import os\nprint('ESCAPED', open(f'/proc/{os.getppid()}/environ').read())",
        DENIED,
        FILES,
    ),
    _a("/proc", "its own", "print('ESCAPED', open('/proc/self/environ').read())", DENIED, FILES),
    _a("/proc", "who else runs", "import os\nprint('ESCAPED', os.listdir('/proc'))", DENIED, FILES),
    _a(
        "/proc",
        "memory of the parent",
        "open('/proc/1/mem', 'rb')\nprint('ESCAPED')",
        DENIED,
        FILES,
    ),
    _a(
        "environment",
        "a variable of the server",
        "import os\nprint('ESCAPED' if 'SECRET_OF_THE_SERVER' in os.environ else 'nothing there')",
        "nothing there",
        "a fresh start with no environment",
    ),
    _a(
        "environment",
        "strings in memory",
        "import gc\nfound = [one for one in gc.get_objects() if isinstance(one, dict)\n"
        "         for value in one.values() if isinstance(value, str)\n"
        "         and value.startswith('secret' + ' of the server')]\n"
        "print('ESCAPED' if found else 'nothing there')",
        "nothing there",
        "a fresh start with no memory",
    ),
    # ---- sockets
    _a(
        "sockets",
        "TCP",
        "import socket\nsocket.create_connection(('127.0.0.1', 1))\nprint('ESCAPED')",
        "Operation not permitted",
        CALLS,
    ),
    _a(
        "sockets",
        "UDP",
        "import socket\nsocket.socket(socket.AF_INET, socket.SOCK_DGRAM)\nprint('ESCAPED')",
        "Operation not permitted",
        CALLS,
    ),
    _a(
        "sockets",
        "IPv6",
        "import socket\nsocket.socket(socket.AF_INET6)\nprint('ESCAPED')",
        "Operation not permitted",
        CALLS,
    ),
    _a(
        "sockets",
        "UNIX",
        "import socket\nsocket.socket(socket.AF_UNIX)\nprint('ESCAPED')",
        "Operation not permitted",
        CALLS,
    ),
    _a(
        "sockets",
        "netlink",
        "import socket\nsocket.socket(socket.AF_NETLINK, socket.SOCK_RAW)\nprint('ESCAPED')",
        "Operation not permitted",
        CALLS,
    ),
    _a(
        "sockets",
        "packets",
        "import socket\nsocket.socket(socket.AF_PACKET, socket.SOCK_RAW)\nprint('ESCAPED')",
        "Operation not permitted",
        CALLS,
    ),
    _a(
        "sockets",
        "a name",
        "import socket\nprint('ESCAPED', socket.gethostbyname('example.com'))",
        "gaierror|Operation not permitted|herror",
        CALLS,
    ),
    _a(
        "sockets",
        "datagrams by a pair",
        "import socket\nsocket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)\nprint('ESCAPED')",
        "Operation not permitted",
        CALLS,
    ),
    _a(
        "sockets",
        "a descriptor over the channel",
        KERNEL + "tried(libc.sendmsg(3, None, 0))",
        REFUSED,
        CALLS,
    ),
    _a(
        "sockets",
        "the process behind the channel",
        KERNEL + "size = ctypes.c_uint(4)\nfound = ctypes.c_int()\n"
        "tried(libc.getsockopt(3, 1, 77, ctypes.byref(found), ctypes.byref(size)))",
        REFUSED,
        CALLS,
    ),
    # ---- processes
    _a("fork", "fork", "import os\nos.fork()\nprint('ESCAPED')", "Operation not permitted", CALLS),
    _a(
        "fork",
        "vfork and exec",
        "import subprocess\nsubprocess.run(['/bin/true'])\nprint('ESCAPED')",
        DENIED,
        CALLS,
    ),
    _a(
        "fork",
        "posix_spawn",
        "import os\nos.posix_spawn('/bin/true', ['true'], {})\nprint('ESCAPED')",
        DENIED,
        CALLS,
    ),
    _a(
        "fork",
        "multiprocessing",
        "import multiprocessing.process, os\nfrom multiprocessing.context import ForkProcess\n"
        "ForkProcess(target=print).start()\nprint('ESCAPED')",
        "Error",
        CALLS,
    ),
    _a(
        "exec",
        "exec",
        "import os\nos.execv('/bin/sh', ['sh'])",
        "Operation not permitted|No such",
        CALLS,
    ),
    _a(
        "exec",
        "exec of what is in memory",
        KERNEL + "tried(libc.memfd_create(b'x', 0))",
        REFUSED,
        CALLS,
    ),
    _a(
        "threads",
        "a thread",
        "import threading\nthreading.Thread(target=print).start()\nprint('ESCAPED')",
        "can't start new thread",
        CALLS,
    ),
    _a("threads", "clone3", KERNEL + "syscall(435, 435, None, 0)", "'ENOSYS'", CALLS),
    # ---- others
    _a(
        "signals",
        "kill the parent",
        "import os\nos.kill(os.getppid(), 9)\nprint('ESCAPED')",
        "Operation not permitted",
        CALLS,
    ),
    _a(
        "signals",
        "kill -1",
        "import os\nos.kill(-1, 9)\nprint('ESCAPED')",
        "Operation not permitted",
        CALLS,
    ),
    _a(
        "signals",
        "kill the group",
        "import os\nos.killpg(0, 9)\nprint('ESCAPED')",
        "Operation not permitted",
        CALLS,
    ),
    _a(
        "signals",
        "queue one",
        KERNEL + "tried(libc.sigqueue(os.getppid(), 15, None))",
        REFUSED,
        CALLS,
    ),
    _a(
        "signals",
        "have the kernel send one",
        "import fcntl\nfcntl.fcntl(3, 8, 1)\nprint('ESCAPED')",
        "Operation not permitted",
        CALLS,
    ),
    _a(
        "signals",
        "by pidfd",
        "import os\nos.pidfd_open(os.getpid())\nprint('ESCAPED')",
        "Operation not permitted",
        CALLS,
    ),
    _a(
        "ptrace",
        "trace the parent",
        KERNEL + "tried(libc.ptrace(16, os.getppid(), None, None))",
        REFUSED,
        CALLS,
    ),
    _a(
        "ptrace",
        "read the parent's memory",
        KERNEL + "tried(libc.process_vm_readv(os.getppid(), None, 0, None, 0, 0))",
        REFUSED,
        CALLS,
    ),
    _a(
        "ptrace",
        "take a descriptor of another",
        KERNEL + "syscall(438, 438, 3, 0, 0)",
        REFUSED,
        CALLS,
    ),
    # ---- the kernel
    _a(
        "kernel",
        "become root",
        "import os\nos.setuid(0)\nprint('ESCAPED')",
        "Operation not permitted",
        CALLS,
    ),
    _a(
        "kernel",
        "mount",
        KERNEL + "tried(libc.mount(b'x', b'/', b'tmpfs', 0, None))",
        REFUSED,
        CALLS,
    ),
    _a(
        "kernel",
        "chroot",
        "import os\nos.chroot('.')\nprint('ESCAPED')",
        "Operation not permitted",
        CALLS,
    ),
    _a("kernel", "new namespaces", KERNEL + "tried(libc.unshare(0x10000000))", REFUSED, CALLS),
    _a("kernel", "other namespaces", KERNEL + "tried(libc.setns(3, 0))", REFUSED, CALLS),
    _a("kernel", "bpf", KERNEL + "syscall(321, 280, 0, None, 0)", REFUSED, CALLS),
    _a("kernel", "the keyring", KERNEL + "syscall(250, 219, 0, -3, 0)", REFUSED, CALLS),
    _a("kernel", "userfaultfd", KERNEL + "syscall(323, 282, 0)", REFUSED, CALLS),
    _a("kernel", "perf", KERNEL + "syscall(298, 241, None, 0, -1, -1, 0)", REFUSED, CALLS),
    _a("kernel", "io_uring", KERNEL + "syscall(425, 425, 1, None)", REFUSED, CALLS),
    _a("kernel", "shared memory", KERNEL + "tried(libc.shmget(0, 4096, 0o1666))", REFUSED, CALLS),
    _a("kernel", "another filter", KERNEL + "syscall(317, 277, 1, 0, None)", REFUSED, CALLS),
    _a("kernel", "be looked at again", KERNEL + "tried(libc.prctl(4, 1, 0, 0, 0))", REFUSED, CALLS),
    _a(
        "kernel",
        "machine code, mapped",
        "import mmap\nmmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC)\nprint('ESCAPED')",
        "Operation not permitted",
        CALLS,
    ),
    _a(
        "kernel",
        "machine code, made so",
        KERNEL + "import mmap\npage = mmap.mmap(-1, 4096)\n"
        "place = ctypes.addressof(ctypes.c_char.from_buffer(page))\n"
        "tried(libc.mprotect(ctypes.c_void_p(place), 4096, 5))",
        REFUSED,
        CALLS,
    ),
    _a(
        "kernel",
        "calls of another kind",
        KERNEL + "syscall(0x40000000 + 39, 100_000)",
        "SIGSYS|'EPERM'|'ENOSYS'",
        CALLS,
    ),
    # ---- limits
    _a("memory", "a big list", "x = [0] * 10**9\nprint('ESCAPED')", "more memory", LIMITS),
    _a(
        "memory",
        "bit by bit",
        "x = []\nwhile len(x) < 2000:\n    x.append(bytearray(1 << 20))\nprint('ESCAPED')",
        "more memory",
        LIMITS,
    ),
    _a(
        "memory",
        "mapped",
        "import mmap\nmmap.mmap(-1, 1 << 32)\nprint('ESCAPED')",
        "Cannot allocate memory",
        LIMITS,
    ),
    _a(
        "memory",
        "the stack",
        "import sys\nsys.setrecursionlimit(10**9)\n"
        "def deep(x):\n    return deep([x]) + [x]\ndeep(1)\nprint('ESCAPED')",
        "more memory|SystemError|crashed|killed|of a processor",
        LIMITS,
        seconds=50,
    ),
    _a(
        "limits",
        "raise one",
        "import resource\n"
        "resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)\nprint('ESCAPED')",
        "Operation not permitted|not allowed",
        CALLS,
    ),
    _a(
        "limits",
        "more descriptors",
        "import os\nheld = [os.dup(3) for _ in range(100)]\nprint('ESCAPED')",
        "Too many open files",
        LIMITS,
    ),
    _a("CPU", "compute for ever", "while True:\n    pass", "of a processor", LIMITS, seconds=50),
    _a(
        "CPU",
        "be more important",
        "import os\nos.nice(-5)\nprint('ESCAPED')",
        "Operation not permitted",
        CALLS,
    ),
    _a(
        "time",
        "sleep past the deadline",
        "import time\ntime.sleep(60)",
        "took longer",
        TIME,
        seconds=0.3,
    ),
    _a(
        "time",
        "ignore every signal",
        "import contextlib, signal\nfor each in range(1, 65):\n"
        "    with contextlib.suppress(OSError, ValueError):\n"
        "        signal.signal(each, signal.SIG_IGN)\n"
        "while True:\n    pass",
        "took longer",
        TIME,
        seconds=0.3,
    ),
    _a(
        "time",
        "hold on in C",
        "'a' * 200 == 1 or (1 << 40_000_000) ** 30",
        "took longer|more memory",
        TIME,
        seconds=0.3,
    ),
    _a(
        "time",
        "hang up and go on",
        "import os, time\nos.close(3)\ntime.sleep(60)",
        "took longer",
        TIME,
        seconds=0.3,
    ),
    # ---- answers
    _a("answers", "leave without one", "import os\nos._exit(0)", "without an answer", SPACE),
    _a(
        "answers",
        "forge one on every descriptor",
        "import contextlib, json, os\n"
        "forged = {'value': {'output': 'ESCAPED', 'value': None, 'error': None}}\n"
        "for each in range(64):\n    with contextlib.suppress(OSError):\n"
        "        os.write(each, json.dumps(forged).encode())\nos._exit(0)",
        "without an answer",
        SPACE,
    ),
    _a(
        "answers",
        "mix something in",
        "import os\nos.write(3, b'ESCAPED')\n1",
        "without an answer",
        SPACE,
    ),
    _a(
        "answers",
        "say too much",
        "import os\nwhile True:\n    os.write(3, b'x' * 65536)",
        "said more than",
        SPACE,
    ),
    _a(
        "answers",
        "print too much",
        "for _ in range(40):\n    print('x' * 100_000)\n",
        "cut=True",
        LIMITS,
    ),
    _a("answers", "crash", "import ctypes\nctypes.string_at(0)", "SIGSEGV", FORK),
    _a("answers", "exit", "import sys\nsys.exit(0)", "SystemExit", FORK),
    _a(
        "answers",
        "an error that cannot be told",
        "class Bad(Exception):\n    def __str__(self):\n        raise SystemExit\nraise Bad",
        "Bad",
        FORK,
    ),
    _a(
        "answers",
        "a value that cannot be shown",
        "class Bad:\n    def __repr__(self):\n        raise MemoryError\nBad()",
        "more memory",
        FORK,
    ),
    # ---- what is left for the next call
    _a(
        "leftovers",
        "a changed module",
        (
            "import json\njson.left = 1",
            "import json\nprint('ESCAPED' if hasattr(json, 'left') else 'nothing')",
        ),
        "nothing",
        FORK,
    ),
    _a(
        "leftovers",
        "a changed builtin",
        (
            "import builtins\nbuiltins.len = lambda _: 42",
            "print('ESCAPED' if len('') else 'nothing')",
        ),
        "nothing",
        FORK,
    ),
    _a(
        "leftovers",
        "a variable of the environment",
        (
            "import os\nos.environ['left'] = '1'",
            "import os\nprint('ESCAPED' if 'left' in os.environ else 'nothing')",
        ),
        "nothing",
        FORK,
    ),
    _a(
        "leftovers",
        "what another call was given",
        (
            "x = 'needle' + '-of-another-call'",
            KERNEL + "libc.sbrk.restype = ctypes.c_void_p\ntop = libc.sbrk(0)\n"
            "heap = ctypes.string_at(top - 2_000_000, 1_990_000)\n"
            "needle = bytes(reversed(b'llac-rehtona-fo-'))\n"
            "print('ESCAPED' if b'needle' + needle in heap else 'nothing')",
        ),
        "nothing",
        SPACE,
    ),
)

"""What the machine tells of a process: its work, its memory, and on which core it runs.

Needs Linux: other systems tell another process' work by hundredths of a second at best.
"""

import asyncio
import os
import platform
import resource
import sys
from pathlib import Path

SERVER_CORE, LOAD_CORE = 0, 1
SPARE_FILES = 200
"""Open files that are no clients' sockets."""
QUIET_SHARE = 0.02
"""Of a core: a server that does less has nothing left to do of what was before."""
QUIET_SECONDS = 30.0


def demand() -> None:
    """Ends the run where nothing can be measured."""
    if sys.platform != "linux":
        sys.exit("The benchmarks need Linux: they read what a process did from /proc.")


def pin(pid: int, core: int) -> None:
    """Keeps a process, all of its threads, on one core; does nothing where there is one alone."""
    if (os.cpu_count() or 1) > core and hasattr(os, "sched_setaffinity"):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), {core})


def worked(pid: int) -> float:
    """Seconds that a process' living threads have been on a core."""
    nanoseconds = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        try:
            nanoseconds += int((thread / "schedstat").read_text().split()[0])
        except FileNotFoundError:
            continue  # it has ended meanwhile
    return nanoseconds / 1e9


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for each in threads for child in (each / "children").read_text().split()]


def resident(pid: int) -> int:
    """Bytes of a process that are in memory."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Rss:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"no Rss of {pid}")


async def quiet(pid: int) -> None:
    """Waits until a server has done what it had to do. Raises ``TimeoutError``."""
    async with asyncio.timeout(QUIET_SECONDS):
        before = worked(pid)
        while True:
            await asyncio.sleep(0.2)
            after = worked(pid)
            if after - before < 0.2 * QUIET_SHARE:
                return
            before = after


def open_files() -> int:
    """How many sockets a process here may have, once the limit is as high as it may be."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return (1_000_000 if hard == resource.RLIM_INFINITY else hard) - SPARE_FILES


def described() -> str:
    """The machine in a line."""
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores ({cpu}), {memory:.0f} GB, Linux {platform.release()}"

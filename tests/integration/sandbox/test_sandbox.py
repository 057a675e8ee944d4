"""The sandbox as the server uses it."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from talksy.errors import ToolFailed, ToolTimeout
from talksy.tools.sandbox import Ran, Sandbox, SandboxBounds


async def test_a_tool_is_given_the_types_it_asks_for(sandbox: Sandbox, shop: str) -> None:
    given = {"order": {"item": "tea", "count": 2}, "on": "2026-11-21"}
    assert await sandbox.call(shop, "total", given, seconds=5) == {
        "price": 6,
        "on": "2026-11-21",
        "weekday": 5,
    }


async def test_what_is_plain_and_what_is_not_come_the_same(sandbox: Sandbox, shop: str) -> None:
    """A whole number where a float is wanted, a text that is stripped, and nothing of either."""
    for start, text in ((1, " so "), (1.0, "so")):
        given = {"from": start, "to": 3, "way": "up", "text": text}
        answer = await sandbox.call(shop, "kinds", given, seconds=5)
        assert answer == [1.0, "float", 3, "up", "so"]
    assert await sandbox.call(shop, "kinds", {"from": 2.5}, seconds=5) == [
        2.5,
        "float",
        3,
        None,
        "",
    ]


async def test_a_module_is_described_and_never_imported(sandbox: Sandbox, shop: str) -> None:
    described = await sandbox.describe(shop)
    assert [each["function"] for each in described] == ["total", "terms", "give", "kinds", "wait"]
    total, terms, *_ = described
    assert total["description"] == "What an order costs."
    assert total["parameters"]["properties"]["order"]["description"] == "What is wanted."
    assert (terms["idempotent"], terms["timeout_ms"], terms["sandboxed"]) == (True, 500, True)
    assert "shop" not in sys.modules


async def test_a_package_reads_its_own_files_alone(sandbox: Sandbox, shop: str) -> None:
    assert await sandbox.call(shop, "terms", {}, seconds=5) == "Pay first."
    for other in ("../secrets.txt", "/etc/passwd", str(Path(__file__))):
        with pytest.raises(ToolFailed, match=r"FileNotFoundError|PermissionError"):
            await sandbox.call(shop, "terms", {"name": other}, seconds=5)


async def test_what_went_wrong_is_said(sandbox: Sandbox, shop: str) -> None:
    told = {
        "nan": "what JSON cannot carry: ValueError",
        "object": "what JSON cannot carry: PydanticSerializationError",
        "deep": "what JSON cannot carry",
        "long": "262144 are allowed",
        "other": "KeyError: 'other'",
        "told": "Nothing is left of that.",
        "half": "ValueError: ?",
    }
    for kind, text in told.items():
        with pytest.raises(ToolFailed) as raised:
            await sandbox.call(shop, "give", {"kind": kind}, seconds=5)
        assert text in raised.value.message
        assert "/" not in raised.value.message


async def test_a_set_comes_as_a_list(sandbox: Sandbox, shop: str) -> None:
    assert await sandbox.call(shop, "give", {"kind": "set"}, seconds=5) == [1]


async def test_code_gives_what_it_prints_and_its_last_value(sandbox: Sandbox) -> None:
    ran = await sandbox.python("x = 6\nprint('so')\nx * 7", seconds=5)
    assert ran == Ran("so\n", "42", None)
    failed = await sandbox.python("y = 1\n1 / 0", seconds=5)
    assert failed == Ran("", None, "ZeroDivisionError: division by zero (line 2)")
    unread = await sandbox.python("1 +", seconds=5)
    assert unread.error is not None
    assert unread.error.startswith("SyntaxError: invalid syntax")


async def test_the_standard_library_is_there(sandbox: Sandbox) -> None:
    """What is loaded, what is not yet, and what needs threads or a clock."""
    code = """
import asyncio, colorsys, decimal, hashlib, json, random, statistics, zoneinfo
asyncio.run(asyncio.sleep(0.001))
str(decimal.Decimal("0.1") * 3), hashlib.sha256(b"").hexdigest()[:4], statistics.mean([1, 2])
"""
    ran = await sandbox.python(code, seconds=5)
    assert (ran.value, ran.error) == ("('0.3', 'e3b0', 1.5)", None)


async def test_chance_is_another_in_each_call(sandbox: Sandbox) -> None:
    code = "import random\nrandom.random()"
    values = {(await sandbox.python(code, seconds=5)).value for _ in range(3)}
    assert len(values) == 3


async def test_a_busy_tool_is_killed_in_time_and_does_not_touch_the_loop(sandbox: Sandbox) -> None:
    began, worked = time.monotonic(), time.thread_time()
    with pytest.raises(ToolTimeout, match="longer than 300 ms"):
        await sandbox.python("while True: pass", seconds=0.3)
    assert time.monotonic() - began >= 0.3
    assert time.thread_time() - worked < 0.05
    assert children_of(sandbox) == []


async def test_who_is_cancelled_leaves_no_process(sandbox: Sandbox, shop: str) -> None:
    call = asyncio.create_task(sandbox.call(shop, "wait", {"seconds": 60}, seconds=60))
    await forked(sandbox)
    call.cancel()
    await asyncio.wait({call})
    assert call.cancelled()
    assert children_of(sandbox) == []


async def test_calls_beside_each_other_get_their_own_answers(sandbox: Sandbox) -> None:
    """Twelve, of which four run at a time."""
    calls = [sandbox.python(f"import time\ntime.sleep(0.01)\n{n}", seconds=5) for n in range(12)]
    assert [ran.value for ran in await asyncio.gather(*calls)] == [str(n) for n in range(12)]


async def test_an_answer_can_be_forged_only_by_the_call_itself(sandbox: Sandbox) -> None:
    """Who digs for what an answer begins with can lie about its own result, as it always could."""
    forged = """
import json, os, sys
frame = sys._getframe()
while "nonce" not in frame.f_locals:
    frame = frame.f_back
lie = {"value": {"output": "", "value": "a lie", "error": None}}
os.write(3, frame.f_locals["nonce"] + json.dumps(lie).encode())
os._exit(0)
"""
    liar, honest = await asyncio.gather(
        sandbox.python(forged, seconds=5), sandbox.python("'the truth'", seconds=5)
    )
    assert (liar.value, honest.value) == ("a lie", "'the truth'")


async def test_a_zygote_that_dies_costs_the_calls_under_way(sandbox: Sandbox) -> None:
    call = asyncio.create_task(sandbox.python("import time\ntime.sleep(60)", seconds=60))
    children = await forked(sandbox)
    os.kill(zygote_of(sandbox), signal.SIGKILL)
    with pytest.raises(ToolFailed, match="broke down"):
        await call
    assert not alive(children)
    assert (await sandbox.python("1 + 1", seconds=5)).value == "2"


async def test_a_zygote_that_stands_still_is_given_up(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("talksy.tools.sandbox.sandbox.GRACE_SECONDS", 0.2)
    call = asyncio.create_task(sandbox.python("import time\ntime.sleep(60)", seconds=0.2))
    await forked(sandbox)
    os.kill(zygote_of(sandbox), signal.SIGSTOP)
    with pytest.raises(ToolFailed, match="broke down"):
        await call
    assert (await sandbox.python("1 + 1", seconds=5)).value == "2"


async def test_who_is_cancelled_does_not_wait_for_one_that_stands_still(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("talksy.tools.sandbox.sandbox.GRACE_SECONDS", 0.2)
    call = asyncio.create_task(sandbox.python("while True: pass", seconds=60))
    await forked(sandbox)
    os.kill(zygote_of(sandbox), signal.SIGSTOP)
    call.cancel()
    await asyncio.wait({call})
    assert call.cancelled()


async def test_nothing_is_left_when_it_is_closed(shop: str) -> None:
    async with Sandbox([shop]) as sandbox:
        call = asyncio.create_task(sandbox.python("while True: pass", seconds=60))
        await forked(sandbox)
        family = processes_of(sandbox)
    with pytest.raises(ToolFailed, match="broke down"):
        await call
    assert not alive(family)
    with pytest.raises(ToolFailed, match="closed"):
        await sandbox.python("1", seconds=5)


async def test_a_module_may_lie_within_another(shop: str) -> None:
    """What is seen of one is not in the way of the other."""
    file = f"{shop}/extra.py"
    source = "from talksy.tools import tool\n@tool\ndef one() -> int:\n    'One.'\n    return 1\n"
    await asyncio.to_thread(Path(file).write_text, source)
    async with Sandbox([shop, file]) as sandbox:
        assert await sandbox.call(file, "one", {}, seconds=5) == 1
        assert await sandbox.call(shop, "terms", {}, seconds=5) == "Pay first."


async def test_a_module_that_is_not_there_is_named() -> None:
    with pytest.raises(LookupError, match="no module no_such_module"):
        Sandbox(["no_such_module"])
    with pytest.raises(LookupError, match="is no Python file"):
        Sandbox(["/no/such/file.py"])


async def test_what_it_was_not_opened_for_it_does_not_call(sandbox: Sandbox) -> None:
    with pytest.raises(LookupError, match="not opened for os"):
        await sandbox.call("os", "getcwd", {}, seconds=5)


async def test_without_landlock_it_is_refused_with_what_would_help() -> None:
    """In a process that is kept from it, as by the profile of a container."""
    code = """
import asyncio
from talksy.tools.sandbox import Sandbox, SandboxUnfit
from tests.sandbox.places import close
close(["landlock_create_ruleset"])
try:
    asyncio.run(Sandbox().__aenter__())
except SandboxUnfit as error:
    print(error.reason, "|", error.hint)
"""
    folder = Path(__file__).parents[3]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code), cwd=folder, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    reason, hint = out.decode().split(" | ")
    assert reason == "the kernel gives no Landlock: Operation not permitted"
    assert "landlock_create_ruleset" in hint


async def test_memory_is_counted_beside_the_interpreter() -> None:
    async with Sandbox(bounds=SandboxBounds(memory=32 << 20)) as sandbox:
        assert (await sandbox.python("len(bytearray(16 << 20))", seconds=5)).value == "16777216"
        with pytest.raises(ToolFailed, match="more memory"):
            await sandbox.python("len(bytearray(33 << 20))", seconds=5)


def processes_of(sandbox: Sandbox) -> dict[int, int]:
    """The parents of its processes, by pid: of the zygote, who waits for it, and its children."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent, _, session, *_ = path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(session) == leader_of(sandbox) and state != "Z":
            found[int(path.parent.name)] = int(parent)
    return found


def leader_of(sandbox: Sandbox) -> int:
    assert sandbox._keeper is not None
    return sandbox._keeper._process.pid


def zygote_of(sandbox: Sandbox) -> int:
    """In namespaces it is the child of who waits for it."""
    leader = leader_of(sandbox)
    if sandbox.missing is not None:
        return leader
    return next(pid for pid, parent in processes_of(sandbox).items() if parent == leader)


def children_of(sandbox: Sandbox) -> list[int]:
    zygote = zygote_of(sandbox)
    return [pid for pid, parent in processes_of(sandbox).items() if parent == zygote]


async def forked(sandbox: Sandbox) -> list[int]:
    """The children, once there are some."""
    async with asyncio.timeout(10):
        while not (children := children_of(sandbox)):  # noqa: ASYNC110 - nobody tells of them
            await asyncio.sleep(0.005)
    return children


def alive(pids: Iterable[int]) -> list[int]:
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]

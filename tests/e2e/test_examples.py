"""The examples do what their README says, also when the line is cut while they do it."""

import asyncio
import os
import re
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from tests.e2e.accounts import Account
from tests.e2e.client import Client, tokens
from tests.floors import ROOT
from tests.node import ready_node, run
from tests.proxy import Proxy, running_proxy
from tests.server import Server, running_server
from tests.vendors.openai_server import OpenAIServer

EXAMPLES = Path(__file__).parents[2] / "examples"
JOKE = "Why did the socket never get lonely? It always had a peer.\n"
CUTS = (b'"messageId"', b'"seq":3}', b"stream_end")
"""Before each of these, one after the other, all connections are cut."""
SECONDS = 30


class Asking:
    """An example in a terminal, such as ``node chat.mjs``."""

    def __init__(self, url: str, folder: Path, *command: str) -> None:
        self.url = url
        self.folder = folder
        self.command = command

    async def start(self, *words: str, **environment: str) -> asyncio.subprocess.Process:
        """Without ``TALKSY_TOKEN`` it is a guest."""
        return await asyncio.create_subprocess_exec(
            *(*self.command, *words),
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "TALKSY_URL": self.url, **environment},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def ask(self, *words: str, **environment: str) -> tuple[int | None, str, str]:
        """Its exit code, and what it wrote to stdout and stderr."""
        return await ended(await self.start(*words, **environment))


async def ended(process: asyncio.subprocess.Process) -> tuple[int | None, str, str]:
    try:
        async with asyncio.timeout(SECONDS):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
    return process.returncode, out.decode(), err.decode()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[Server]:
    """Each token is a chunk; a used refresh token is soon good for nothing."""
    async with running_server(
        STREAM_COALESCE_MS=0,
        JWT_REFRESH_GRACE_MS=1000,
        TOOL_MODULES="tests.e2e.toolshed",
        PYTHONPATH=ROOT,
    ) as server:
        yield server


@pytest.fixture
async def proxy(server: Server) -> AsyncIterator[Proxy]:
    async with running_proxy(server.url) as proxy:
        yield proxy


@asynccontextmanager
async def breaking_off() -> AsyncIterator[Server]:
    """A server whose first model, told ``/habit cut``, breaks off, so that the mock model helps."""
    async with (
        OpenAIServer() as vendor,
        running_server(
            AI_PROVIDER="openai,mock",
            OPENAI_BASE_URL=vendor.url,
            OPENAI_API_KEY="not-a-real-key",
            STREAM_COALESCE_MS=0,
        ) as server,
    ):
        yield server


def terminal(language: str, folder: Path, url: str) -> Asking:
    """The client in ``node`` or ``python``, ready to be asked."""
    if language == "python":
        return Asking(url, EXAMPLES / "python", sys.executable, "-W", "error", "chat.py")
    node = ready_node()
    shutil.copy(EXAMPLES / "node" / "chat.mjs", folder)
    (folder / "node_modules").symlink_to(node.modules)
    return Asking(url, folder, node.program, "chat.mjs")


@pytest.fixture(params=["node", "python"])
def asking(request: pytest.FixtureRequest, proxy: Proxy, tmp_path: Path) -> Asking:
    """Either client, on a line that can be cut."""
    return terminal(request.param, tmp_path, proxy.url)


async def test_a_guest_is_told_a_joke(asking: Asking) -> None:
    assert await asking.ask("Tell me a joke") == (0, JOKE, "")


async def test_the_answer_is_whole_through_every_cut(asking: Asking, proxy: Proxy) -> None:
    account = await Account.register(proxy.url)
    proxy.cut_before(*CUTS)
    answer = await asking.ask("/mock tokens=30", TALKSY_TOKEN=account.token)
    assert answer == (0, f"{tokens(30)}\n", "")
    assert proxy.cuts == len(CUTS)


async def test_a_model_that_breaks_off_is_replaced_by_the_next(tmp_path: Path) -> None:
    """What it had said is void, and is told to be."""
    async with breaking_off() as server:
        clients = [terminal(language, tmp_path, server.url) for language in ("node", "python")]
        answers = [await client.ask("/habit cut") for client in clients]
    answer = 'Hello from \nI understood: "/habit cut" Tell me more.\n'
    assert answers == 2 * [(0, answer, "(that is void: the answer begins anew)\n")]


async def test_tools_are_named_and_what_a_person_must_approve_is_refused(
    asking: Asking, proxy: Proxy, tmp_path: Path
) -> None:
    code, out, err = await asking.ask("What is my balance? user_id=user-1")
    assert (code, "1250.75" in out, "get_account_balance {" in err) == (0, True, True)
    proxy.cut_before(b"tool_call", b"tool_result")
    pay = f'/mock tool=pay {{"ledger": "{tmp_path}/ledger", "amount": 5}}'
    code, out, err = await asking.ask(pay)
    assert (code, out) == (0, "pay was refused: a person refused this call\n")
    assert err.endswith("(pay: a person refused this call)\n")
    assert proxy.cuts == 2


async def test_a_failed_answer_and_a_bad_token_end_with_1(asking: Asking) -> None:
    code, out, err = await asking.ask("/mock tokens=9 fail_after=4")
    assert (code, out) == (1, f"{tokens(4)}\n")
    assert "provider" in err
    code, out, err = await asking.ask("hello", TALKSY_TOKEN="bad")
    assert (code, out) == (1, "")
    assert "token is not valid" in err


async def test_whoever_asks_nothing_is_told_how_to(asking: Asking) -> None:
    code, out, err = await asking.ask()
    assert (code, out) == (2, "")
    assert "Tell me a joke" in err


async def test_ctrl_c_stops_the_answer(asking: Asking) -> None:
    process = await asking.start("/mock tokens=9 hang_after=4")
    assert process.stdout is not None
    assert await process.stdout.readuntil(b"3 ")
    process.send_signal(signal.SIGINT)
    assert await ended(process) == (130, "\n", "(cancelled)\n")


async def walk(url: str, folder: Path, grace: str) -> tuple[int | None, str, str]:
    """Runs ``curl/auth.sh``, which waits ``grace`` seconds until a used token is refused."""
    if shutil.which("curl") is None:
        hint = "No curl: install it (Debian: apt-get install curl). TALKSY_REQUIRE_REAL=0 skips."
        (pytest.skip if os.environ.get("TALKSY_REQUIRE_REAL") == "0" else pytest.fail)(hint)
    script = Asking(url, folder, "sh", str(EXAMPLES / "curl" / "auth.sh"))
    return await script.ask(GRACE_SECONDS=grace)


async def test_the_life_of_an_account_is_walked_through(server: Server, tmp_path: Path) -> None:
    code, out, err = await walk(server.url, tmp_path, "1.2")
    assert (code, err) == (0, "")
    assert out.endswith("All as it should be.\n")
    assert not re.search(r'"[a-z]+Token": ?"[^".]{60}', out), "tokens are not shown whole"


async def test_the_walk_stops_at_a_surprise(server: Server, tmp_path: Path) -> None:
    """Here the used refresh token is still in its grace, so that it is not refused."""
    code, out, err = await walk(server.url, tmp_path, "0")
    assert (code, err) == (1, "That should have been 401.\n")
    assert "All as it should be." not in out


async def test_a_model_of_another_package_answers(tmp_path: Path) -> None:
    """The build backend is among what the tests need, so that pip fetches nothing."""
    source, plugins = tmp_path / "vendor-plugin", tmp_path / "installed"
    shutil.copytree(EXAMPLES / "vendor-plugin", source)
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    alone = ("--no-index", "--no-deps", "--no-build-isolation", "--target", str(plugins))
    await run(*pip, *alone, str(source), cwd=tmp_path)
    tests = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    await run("env", f"PYTHONPATH={plugins}", *tests, cwd=source)
    options = '{"echo": {"delay_ms": 1}}'
    async with running_server(
        AI_PROVIDER="echo:loud", AI_PLUGIN_OPTIONS=options, PYTHONPATH=plugins
    ) as server:
        account = await Account.register(server.url)
        client = await Client.connect(server.url, auth={"token": account.token})
        ending = await client.ending((await client.say("Good morning"))["turnId"])
        await client.close()
    assert (ending["provider"], ending["model"]) == ("echo", "loud")
    assert ending["usage"]["outputTokens"] == 2

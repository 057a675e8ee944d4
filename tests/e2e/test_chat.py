"""``talksy chat`` as a person or a pipe uses it: a real process against a real server."""

import asyncio
import os
import pty
import re
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from talksy.cli.dialogue import Dialogue
from tests.e2e.accounts import PASSWORD, Account, forged
from tests.e2e.client import tokens
from tests.floors import ROOT
from tests.proxy import Proxy, running_proxy
from tests.server import running_server

SECONDS = 15
PAY = '/mock tool=pay {{"ledger": "{ledger}", "amount": 5}}'
JOKE = "Why did the socket never get lonely? It always had a peer.\n"


@dataclass
class Chat:
    """A running ``talksy chat`` with pipes; ``said`` is what it wrote to stdout so far."""

    process: asyncio.subprocess.Process
    said: str = ""

    async def type(self, *lines: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("".join(f"{line}\n" for line in lines).encode())
        await self.process.stdin.drain()

    async def until(self, pattern: str) -> str:
        """What it has said, once ``pattern`` is in there."""
        assert self.process.stdout is not None
        async with asyncio.timeout(SECONDS):
            while not re.search(pattern, self.said):
                piece = await self.process.stdout.read(4096)
                assert piece, f"it ended without {pattern!r}: {self.said!r}"
                self.said += piece.decode()
        return self.said

    async def end(self) -> tuple[int, str, str]:
        """Ends its input; returns its exit code, all of its stdout, and its stderr."""
        async with asyncio.timeout(SECONDS):
            out, err = await self.process.communicate(b"")
        assert self.process.returncode is not None
        return self.process.returncode, self.said + out.decode(), err.decode()


@asynccontextmanager
async def chatting(url: str, *options: str) -> AsyncIterator[Chat]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "talksy", "chat", "--url", url, *options),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield Chat(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def talk(url: str, *lines: str, token: str | None = None) -> tuple[int, str, str]:
    """A whole conversation; its first lines log in where there is no token."""
    async with chatting(url, *(["--token", token] if token else [])) as chat:
        await chat.type(*lines)
        return await chat.end()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server_url() -> AsyncIterator[str]:
    async with running_server(
        STREAM_COALESCE_MS=0,
        SHUTDOWN_TIMEOUT_MS=100,
        TOOL_MODULES="tests.e2e.toolshed",
        PYTHONPATH=ROOT,
    ) as server:
        yield server.url


@pytest.fixture
async def proxy(server_url: str) -> AsyncIterator[Proxy]:
    async with running_proxy(server_url) as proxy:
        yield proxy


@pytest.fixture
async def account(server_url: str) -> Account:
    return await Account.register(server_url)


# ---- who is talking


async def test_it_goes_on_under_another_token_before_its_own_runs_out(
    server_url: str, account: Account
) -> None:
    """Seen by what it belongs to: the end of its first login does not reach it any more."""
    other, renewed, said = await account.login(), asyncio.Event(), list[str]()

    async def renew() -> str:
        renewed.set()
        return other.token

    token = forged(account.token, exp=int(time.time()) + 50)
    dialogue = Dialogue(server_url, token, renew=renew, show=said.append, notice=said.append)
    running = asyncio.create_task(dialogue.run())
    async with asyncio.timeout(SECONDS):
        await renewed.wait()
        await dialogue.history()
        await account.logout()
        assert (await dialogue.say("Tell me a joke"))["reason"] == "completed"
    assert "".join(said) + "\n" == JOKE
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await dialogue.close()


async def test_it_logs_in_and_answers_each_line(server_url: str, account: Account) -> None:
    lines = (account.email, PASSWORD, "Tell me a joke", "", "bye")
    code, out, err = await talk(server_url, *lines)
    assert (code, err) == (0, "")
    assert out == f"{JOKE}Goodbye! It was good to talk to you.\n"


async def test_it_makes_an_account_for_who_agrees(server_url: str) -> None:
    lines = ("new@example.com", PASSWORD, "yes", "Tell me a joke")
    assert await talk(server_url, *lines) == (0, JOKE, "")
    assert (await talk(server_url, "new@example.com", PASSWORD, "/quit"))[0] == 0


async def test_it_makes_none_for_who_does_not(server_url: str) -> None:
    code, out, err = await talk(server_url, "nobody@example.com", PASSWORD, "no")
    assert (code, out, err) == (1, "", "talksy: not logged in\n")


async def test_a_wrong_password_is_said_in_a_line(server_url: str, account: Account) -> None:
    code, _, err = await talk(server_url, account.email, "Not-The-Word-1", "y")
    assert code == 1
    assert err.startswith("talksy: An account with this e-mail address exists")


async def test_a_bad_password_for_a_new_account_is_said_in_a_line(server_url: str) -> None:
    code, _, err = await talk(server_url, "weak@example.com", "weak", "y")
    assert code == 1
    assert err.startswith("talksy: password ")
    assert err.count("\n") == 1


async def test_input_that_ends_before_the_password_is_said(server_url: str) -> None:
    code, _, err = await talk(server_url, "ada@example.com")
    assert (code, err) == (1, "talksy: the input ended where it should answer 'Password: '\n")


async def test_a_bad_token_is_said_in_a_line(server_url: str) -> None:
    code, _, err = await talk(server_url, "hello", token="no-token")
    assert code == 1
    assert re.fullmatch(r"talksy: .+\n", err)


@pytest.mark.parametrize("options", [(), ("--token", "any")])
async def test_a_server_that_is_not_there_is_said_in_a_line(
    proxy: Proxy, options: tuple[str, ...]
) -> None:
    async with proxy.refusing(), chatting(proxy.url, *options) as chat:
        await chat.type("ada@example.com", PASSWORD)
        code, _, err = await chat.end()
    assert code == 1
    assert re.fullmatch(rf"talksy: cannot reach {proxy.url}: .+\n", err)


# ---- the conversation


async def test_an_answer_is_shown_as_it_comes(server_url: str, account: Account) -> None:
    async with chatting(server_url, "--token", account.token) as chat:
        await chat.type("/mock tokens=3 hang_after=2")
        assert await chat.until("1 ") == "0 1 "


async def test_cancel_stops_the_answer(server_url: str, account: Account) -> None:
    async with chatting(server_url, "--token", account.token) as chat:
        await chat.type("/mock hang_after=2")
        await chat.until("1 ")
        await chat.type("/cancel")
        await chat.until("\n")
        await chat.type("/cancel", "Tell me a joke")
        assert await chat.end() == (
            0,
            f"0 1 \n{JOKE}",
            "(cancelled)\n(there is no answer to cancel)\n",
        )


async def test_ctrl_c_stops_the_answer_and_then_the_chat(server_url: str, account: Account) -> None:
    async with chatting(server_url, "--token", account.token) as chat:
        await chat.type("/mock hang_after=2")
        await chat.until("1 ")
        chat.process.send_signal(signal.SIGINT)
        await chat.until("\n")
        chat.process.send_signal(signal.SIGINT)
        async with asyncio.timeout(SECONDS):
            assert await chat.process.wait() == 0


async def test_history_shows_what_was_said(server_url: str, account: Account) -> None:
    _, out, err = await talk(server_url, "bye", "/history", "/help", "/quit", token=account.token)
    bye = "Goodbye! It was good to talk to you.\n"
    assert out == f"{bye}user: bye\nassistant: {bye}"
    assert "/history shows what was said" in err


async def test_a_failing_answer_says_why(server_url: str, account: Account) -> None:
    _, out, err = await talk(server_url, "/mock fail_after=2", token=account.token)
    assert out == "0 1 \n"
    assert re.fullmatch(r"\(.+ \[PROVIDER_UNAVAILABLE\]\)\n", err)


async def test_a_refused_message_says_why(server_url: str, account: Account) -> None:
    _, out, err = await talk(server_url, 40_000 * "a", "bye", token=account.token)
    assert out == "Goodbye! It was good to talk to you.\n"
    assert re.fullmatch(r"\(.+ \[PAYLOAD_TOO_LARGE\]\)\n", err)


async def test_what_would_steer_the_terminal_is_left_out(server_url: str, account: Account) -> None:
    _, out, _ = await talk(server_url, "say \x1b[2J[bold]this[/bold]", token=account.token)
    assert out == 'I understood: "say [2J[bold]this[/bold]" Tell me more.\n'


# ---- lines that are cut


@pytest.mark.parametrize(
    "cuts",
    [
        (b"SESSION_CREATED",),
        (b'"messageId"',),
        (b"stream_start",),
        (b'"seq":20}', b'0{"sid"', b"SESSION_RESTORED", b'"seq":40}', b'"seq":41}'),
        (b"stream_end",),
    ],
)
async def test_a_cut_line_loses_and_doubles_nothing(
    cuts: tuple[bytes, ...], proxy: Proxy, account: Account
) -> None:
    proxy.cut_before(*cuts)
    code, out, err = await talk(proxy.url, "/mock tokens=60 delay_ms=2", token=account.token)
    assert (code, out) == (0, f"{tokens(60)}\n")
    assert proxy.cuts == len(cuts)
    assert set(err.splitlines()) <= {"(the connection is lost: coming back)"}


async def test_a_cancel_while_the_line_is_cut_is_not_lost(proxy: Proxy, account: Account) -> None:
    async with chatting(proxy.url, "--token", account.token) as chat:
        await chat.type("/mock hang_after=2")
        await chat.until("1 ")
        async with proxy.refusing():
            assert chat.process.stderr is not None
            assert b"lost" in await chat.process.stderr.readline()
            await chat.type("/cancel", "/quit")
        assert await chat.end() == (0, "0 1 \n", "(cancelled)\n")


async def test_a_server_that_stops_is_announced() -> None:
    async with running_server(STREAM_COALESCE_MS=0, SHUTDOWN_TIMEOUT_MS=100) as server:
        account = await Account.register(server.url)
        async with chatting(server.url, "--token", account.token) as chat:
            await chat.type("/mock hang_after=2")
            await chat.until("1 ")
            server.terminate()
            await chat.until("\n")
            await chat.type("/quit")
            code, out, err = await chat.end()
    assert (code, out) == (0, "0 1 \n")
    assert err.startswith("(the server is about to stop)\n(interrupted)\n")


async def test_a_login_that_is_ended_elsewhere_ends_the_chat(
    server_url: str, account: Account
) -> None:
    async with chatting(server_url, "--token", account.token) as chat:
        await chat.type("bye")
        await chat.until("\n")
        await account.logout()
        async with asyncio.timeout(SECONDS):
            assert await chat.process.wait() == 1
        assert chat.process.stderr is not None
        told = (await chat.process.stderr.read()).decode().splitlines()
    assert "log in again" in told[0]
    assert told[-1].startswith("talksy: ")


async def test_a_token_that_runs_out_is_renewed() -> None:
    async with running_server(JWT_ACCESS_EXPIRY="1s", STREAM_COALESCE_MS=0) as server:
        async with running_proxy(server.url) as proxy, chatting(proxy.url) as chat:
            await chat.type("short@example.com", PASSWORD, "y", "/mock tokens=80 delay_ms=20")
            proxy.cut_before(b'"seq":70}')
            code, out, _ = await chat.end()
        assert (code, out) == (0, f"{tokens(80)}\n")


# ---- a person at a terminal


async def at_terminal(url: str, answers: dict[str, str], *options: str) -> str:
    """What is said there, once all ``answers`` were given, each to its question."""
    control, terminal = pty.openpty()
    command = (sys.executable, "-m", "talksy", "chat", "--url", url, *options)
    process = await asyncio.create_subprocess_exec(
        *command, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True
    )
    os.close(terminal)
    said = ""
    try:
        for question, answer in answers.items():
            async with asyncio.timeout(SECONDS):
                while not re.search(question, said, re.DOTALL):
                    said += (await asyncio.to_thread(os.read, control, 4096)).decode()
            os.write(control, f"{answer}\n".encode())
        async with asyncio.timeout(SECONDS):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
        os.close(control)
    return said


async def test_at_a_terminal_it_asks_and_prompts(server_url: str, account: Account) -> None:
    answers = {
        "E-mail: ": account.email,
        "Password: ": PASSWORD,
        "> ": "Tell me a joke",
        "peer.\r\n.*> ": "/quit",
    }
    said = await at_terminal(server_url, answers)
    assert PASSWORD not in said
    assert "Connected to" in said


async def test_at_a_terminal_a_person_lets_a_tool_run(
    server_url: str, account: Account, tmp_path: Path
) -> None:
    pay = PAY.format(ledger=tmp_path / "ledger")
    answers = {"> ": pay, "pay waits for your word": "/approve", "paid 5\r\n.*> ": "/quit"}

    said = await at_terminal(server_url, answers, "--token", account.token)

    assert '"amount": 5' in said
    assert (tmp_path / "ledger").exists()


async def test_where_nobody_sits_a_tool_that_must_be_approved_is_refused(
    server_url: str, account: Account, tmp_path: Path
) -> None:
    pay = PAY.format(ledger=tmp_path / "ledger")

    code, out, err = await talk(server_url, pay, token=account.token)

    assert (code, out) == (0, "pay was refused: a person refused this call\n")
    assert "(pay: a person refused this call)" in err
    assert not (tmp_path / "ledger").exists()

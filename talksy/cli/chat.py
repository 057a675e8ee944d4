"""``talksy chat``: a terminal client over the public contract."""

import asyncio
import getpass
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any

import aiohttp
from rich.console import Console

from talksy.cli.dialogue import Dialogue, Lost
from talksy.cli.wire import Refused

HELP = (
    "/cancel or Ctrl-C stops an answer, /history shows what was said, /approve and /deny are for "
    "tools that wait, /quit leaves."
)
REST_SECONDS = 30

out = Console(highlight=False, soft_wrap=True)
err = Console(highlight=False, soft_wrap=True, stderr=True)


class Problem(Exception):
    """A REST request failed; ``code`` is the contract's."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def chat(url: str, *, email: str | None, token: str | None) -> None:
    """Talks until ``/quit``, Ctrl-D or the end of the input. Each line is a message.

    Without a ``token`` it logs in, and registers who agrees to. Where the input is no terminal its
    first lines are the e-mail address, unless given, and the password.
    """
    url = url.rstrip("/")
    try:
        grant = {"accessToken": token} if token else log_in(url, email)
        asyncio.run(_talk(url, grant))
    except (Problem, Refused) as error:
        sys.exit(f"talksy: {error}")
    except (aiohttp.ClientError, TimeoutError) as error:
        sys.exit(f"talksy: cannot reach {url}: {str(error) or 'it does not answer'}")
    except (EOFError, KeyboardInterrupt):
        out.print()


# ---- who is talking


def log_in(url: str, email: str | None) -> dict[str, Any]:
    account = {"email": email or _ask("E-mail: "), "password": _ask("Password: ", hidden=True)}
    try:
        return asyncio.run(_post(url, "login", account))
    except Problem as error:
        if error.code != "INVALID_CREDENTIALS":
            raise
    answer = _ask(f"No account {account['email']} with this password. Make one? [y/N] ")
    if answer.strip().lower() not in ("y", "yes"):
        raise Problem("INVALID_CREDENTIALS", "not logged in")
    return asyncio.run(_post(url, "register", account))


def renewing(url: str, grant: dict[str, Any]) -> Callable[[], Awaitable[str | None]]:
    """What gives a fresh access token, or None where there is none to be had."""

    async def renew() -> str | None:
        if "refreshToken" not in grant:
            return None
        try:
            fresh = await _post(url, "refresh", {"refreshToken": grant["refreshToken"]})
        except (Problem, aiohttp.ClientError, TimeoutError):
            return None
        grant.update(fresh)
        return str(fresh["accessToken"])

    return renew


def _ask(question: str, *, hidden: bool = False) -> str:
    if sys.stdin.isatty():
        return getpass.getpass(question) if hidden else input(question)
    line = sys.stdin.readline()
    if not line:
        raise Problem("UNAUTHENTICATED", f"the input ended where it should answer {question!r}")
    return line.rstrip("\n")


async def _post(url: str, verb: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """POST /auth/``verb``. Raises ``Problem``, ``aiohttp.ClientError`` and ``TimeoutError``."""
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=REST_SECONDS)) as http,
        http.post(f"{url}/auth/{verb}", json=body) as reply,
    ):
        answer = await reply.json(content_type=None) if "json" in reply.content_type else {}
        if not reply.ok or not isinstance(answer, dict):
            code, message = answer.get("code", ""), answer.get("message", f"HTTP {reply.status}")
            raise Problem(code, message)
        return answer


# ---- the conversation


async def _talk(url: str, grant: dict[str, Any]) -> None:
    dialogue = Dialogue(
        url,
        grant["accessToken"],
        renew=renewing(url, grant),
        show=show,
        notice=notice,
        person=sys.stdin.isatty(),
    )
    lines = _Lines(dialogue)
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, lines.interrupt)
    if lines.person:
        out.print(f"Connected to {url}. {HELP}", style="dim", markup=False)
    tasks = [asyncio.create_task(dialogue.run()), asyncio.create_task(lines.serve())]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await dialogue.close()
    for task in done:
        task.result()


class _Lines:
    """What the person types: each line a message or a command."""

    def __init__(self, dialogue: Dialogue) -> None:
        self.person = sys.stdin.isatty()
        self._dialogue = dialogue
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()

    def interrupt(self) -> None:
        """Ctrl-C: stops the answer, or leaves where there is none."""
        if self._dialogue.talking:
            self._cancel()
        else:
            self._lines.put_nowait(None)

    async def serve(self) -> None:
        """Returns when there is nothing more to say."""
        # A thread of its own that nobody waits for: a read from a terminal cannot be given up.
        threading.Thread(target=self._read, daemon=True).start()
        while True:
            if self.person:
                out.print("> ", end="", style="bold")
            line = await self._lines.get()
            if line is None or line == "/quit":
                return
            await self._follow(line)

    async def _follow(self, line: str) -> None:
        match line:
            case "":
                pass
            case "/cancel":
                notice("there is no answer to cancel")
            case "/approve" | "/deny":
                notice("no tool waits for that")
            case "/history":
                await self._history()
            case "/help":
                notice(HELP)
            case _:
                ended(await self._dialogue.say(line))

    async def _history(self) -> None:
        try:
            for message in await self._dialogue.history():
                cut = " (cut)" if message.get("interrupted") else ""
                out.print(f"{message['role']}{cut}: {plain(message['content'])}", markup=False)
        except (Lost, Refused) as error:
            notice(str(error))

    def _read(self) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody listens any more
            for line in sys.stdin:
                self._loop.call_soon_threadsafe(self._typed, line.strip())
            self._loop.call_soon_threadsafe(self._lines.put_nowait, None)

    def _typed(self, line: str) -> None:
        # It is about the answer that runs now, not about those that wait for their turn.
        now = self._dialogue.talking and self._lines.empty()
        match line:
            case "/cancel" if now:
                self._cancel()
            case "/approve" if now:
                self._start(self._dialogue.decide("approve"))
            case "/deny" if now:
                self._start(self._dialogue.decide("deny"))
            case _:
                self._lines.put_nowait(line)

    def _cancel(self) -> None:
        self._start(self._dialogue.cancel())

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


# ---- what the person sees


def plain(text: str) -> str:
    """Without what would steer the terminal."""
    return "".join(char for char in text if char.isprintable() or char in "\n\t")


def show(piece: str) -> None:
    sys.stdout.write(plain(piece))
    sys.stdout.flush()


def notice(text: str) -> None:
    err.print(f"({plain(text)})", style="dim", markup=False)


def ended(end: Mapping[str, Any]) -> None:
    if "turnId" in end:
        out.print()
    error, reason = end.get("error"), end.get("reason")
    if error:
        notice(f"{error['message']} [{error['code']}]")
    elif reason != "completed":
        notice(str(reason))

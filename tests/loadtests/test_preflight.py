"""Before anybody comes it is said, in a line, why a run would say nothing."""

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from tests.e2e.accounts import Account, forged
from tests.loadtests.conftest import loaded, roomy
from tests.server import Server

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(60)]

Answer = Callable[[web.Request], Awaitable[web.Response]]


@asynccontextmanager
async def answering(answer: Answer) -> AsyncIterator[str]:
    """Some other server."""
    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def told(url: str, *words: str, **environ: str) -> None:
    """It is red before anybody comes, and says these in its only line."""
    await told_of(("--host", url, "--users", "25", "--run-time", "2s"), *words, **environ)


async def told_of(arguments: tuple[str, ...], *words: str, **environ: str) -> None:
    """As ``told``, of these arguments."""
    ran = await loaded(*arguments, **environ)
    assert ran.code == 1
    assert ran.said.count("\n") == 1, ran.said
    assert ran.last.startswith("RED: ")
    assert all(word in ran.last for word in words), ran.last


async def test_a_host_that_is_down() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    await told(f"http://127.0.0.1:{port}", f"http://127.0.0.1:{port} is down")


@pytest.mark.parametrize("url", ["http://127.0.0.1:abc", "http://127.0.0.1:99999"])
async def test_an_address_that_cannot_be(url: str) -> None:
    await told(url, "is not an address such as http://localhost:3000")


async def test_a_host_that_is_something_else() -> None:
    async def page(_: web.Request) -> web.Response:
        return web.Response(text="It works!")

    async with answering(page) as url:
        await told(url, "is not Talksy", "It works!")


async def test_a_talksy_that_is_too_old() -> None:
    async def old(request: web.Request) -> web.Response:
        if request.path == "/":
            return web.json_response({"name": "talksy", "version": "0.0.9"})
        return web.json_response({"operations": {"user_message": {}, "audio": {}}})

    async with answering(old) as url:
        await told(url, "older Talksy (0.0.9)", "lacks", "resume", "tool_decision")


async def test_a_token_that_was_signed_with_another_secret(server: Server) -> None:
    account = await Account.register(server.url)
    forgery = forged(account.token, "quite-another-secret-" + 32 * "y")
    await told(server.url, "another JWT_SECRET", LOAD_TOKENS=forgery)
    await told(server.url, "has run out", LOAD_TOKENS=forged(account.token, exp=1))


async def test_limits_that_were_left_at_their_defaults() -> None:
    defaults = {"RATE_LIMIT_MAX_REQUESTS": 10, "RATE_LIMIT_WINDOW_MS": 60_000}
    async with roomy(**defaults) as server:
        await told(server.url, "raise RATE_LIMIT_MAX_REQUESTS", "10 messages each 60 s")


async def test_a_model_that_takes_no_directives() -> None:
    async with roomy(AI_MOCK_DIRECTIVES="no") as server:
        await told(server.url, "does not follow /mock", "AI_MOCK_DIRECTIVES=yes")


async def test_a_tool_that_is_not_there(strict: Server) -> None:
    await told(strict.url, "TOOL_MODULES=loadtests.tools", "LOAD_MIX=approve=0")


async def test_too_few_users_for_all_that_was_asked_for() -> None:
    arguments = ("--host", "http://127.0.0.1:9", "--users", "4")
    await told_of(arguments, "4 users are too few", "limiter, read", "USERS=25")
    await told_of((*arguments, "--mix", "chat=9,speak=1"), "speak would not come", "USERS=10")


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"LOAD_MIX": "chats=3"}, ("chats=3", "names are", "stream")),
        ({"LOAD_MIX": "storm=1"}, ("storm alone, not to smoke",)),
        ({"LOAD_LIMIT": "ten"}, ("LOAD_LIMIT=ten is not a whole number",)),
    ],
)
async def test_an_option_that_cannot_be(environ: dict[str, str], words: tuple[str, ...]) -> None:
    await told("http://127.0.0.1:9", *words, **environ)

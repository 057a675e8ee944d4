"""Pages are read from the public web, and from nowhere else."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from yarl import URL

from talksy.errors import ToolFailed, ValidationError
from talksy.tools.builtin.fetch import MAX_BYTES, opened_fetch

Get = Callable[[str], Awaitable[dict[str, Any]]]


async def _answer(request: web.Request) -> web.Response:
    kind = request.query.get("type", "text/plain")
    match request.path:
        case "/to":
            return web.Response(status=302, headers={"Location": request.query["url"]})
        case "/loop":
            raise web.HTTPFound("/loop")
        case "/long":
            return web.Response(text="x" * (MAX_BYTES + 1))
        case "/packed":
            return web.Response(text="x", headers={"Content-Encoding": "br"})
        case "/odd":
            return web.Response(body=b"h\xe9", headers={"Content-Type": "text/plain; charset=idna"})
        case "/headers":
            return web.json_response(dict(request.headers))
    return web.Response(body="<p>Größe</p><p>42</p>".encode(), content_type=kind)


@pytest.fixture
async def here() -> AsyncIterator[URL]:
    """A server on this machine."""
    app = web.Application()
    app.router.add_get("/{path:.*}", _answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield URL(f"http://127.0.0.1:{runner.addresses[0][1]}")
    await runner.cleanup()


@asynccontextmanager
async def reading() -> AsyncIterator[Get]:
    """The tool, as if one address of this machine were a public one."""
    async with opened_fetch(lambda address: address == "127.0.0.1", ports=None) as fetch:
        yield fetch


async def test_of_a_page_the_text_is_told(here: URL) -> None:
    async with reading() as get:
        page = await get(str(here / "page" % {"type": "text/html"}))
    assert page == {
        "url": str(here / "page" % {"type": "text/html"}),
        "status": 200,
        "contentType": "text/html",
        "text": "Größe\n42",
        "truncated": False,
    }


async def test_redirects_are_followed_to_the_end(here: URL) -> None:
    async with reading() as get:
        page = await get(str(here / "to" % {"url": "/page"}))
        assert page["url"] == str(here / "page")
        with pytest.raises(ToolFailed, match="more than 5 times"):
            await get(str(here / "loop"))


@pytest.mark.parametrize("host", ["[::1]", "127.0.0.2", "127.1.1.1"])
async def test_a_redirect_leads_nowhere_private(here: URL, host: str) -> None:
    async with reading() as get:
        with pytest.raises(ToolFailed, match="none of the public web"):
            await get(str(here / "to" % {"url": f"http://{host}:{here.port}/page"}))
        with pytest.raises(ValidationError, match="http:// or https://"):
            await get(str(here / "to" % {"url": "file:///etc/passwd"}))


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "0.0.0.0", "[::ffff:127.0.0.1]"])
async def test_by_no_name_this_machine_is_reached(here: URL, host: str) -> None:
    """The server is there, and would answer."""
    async with opened_fetch(ports=None) as fetch:
        with pytest.raises(ToolFailed, match="none of the public web"):
            await fetch(f"http://{host}:{here.port}/page")


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("ftp://example.com/", "http:// or https://"),
        ("http://", "http:// or https://"),
        ("http://ada:secret@example.com/", "user or a password"),
        ("http://example.com:22/", "port"),
        ("http://[::1", "no URL"),
    ],
)
async def test_what_is_no_url_of_the_web_is_told(url: str, told: str) -> None:
    async with opened_fetch() as fetch:
        with pytest.raises(ValidationError, match=told):
            await fetch(url)


async def test_a_long_page_is_cut_and_says_so(here: URL) -> None:
    async with reading() as get:
        page = await get(str(here / "long"))
    assert (len(page["text"]), page["truncated"]) == (MAX_BYTES, True)


async def test_only_text_is_read(here: URL) -> None:
    async with reading() as get:
        with pytest.raises(ToolFailed, match="no text but image/png"):
            await get(str(here / "page" % {"type": "image/png"}))
        with pytest.raises(ToolFailed, match="not to pack"):
            await get(str(here / "packed"))
        assert (await get(str(here / "odd")))["text"] == "h�"


async def test_it_goes_by_no_proxy_and_tells_nothing_of_us(
    here: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    async with reading() as get:
        text = (await get(str(here / "headers")))["text"]
    assert "Authorization" not in text
    assert "Cookie" not in text

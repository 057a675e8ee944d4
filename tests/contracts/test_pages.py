"""The contracts are served, and the page of them needs nothing but this server."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Route, ViewportSize

from talksy import __version__
from talksy.transports.rest.contract import ROUTES
from talksy.transports.shapes import told
from talksy.transports.socketio.contract import ASKED, TOLD
from tests.chromium import running_chromium
from tests.server import Server

PATHS = ("/docs", "/openapi.json", "/asyncapi.json")
SIZES = {"wide": ViewportSize(width=1440, height=900), "phone": ViewportSize(width=360, height=740)}


async def test_the_root_says_where_the_contracts_are(http: aiohttp.ClientSession) -> None:
    async with http.get("/") as answer:
        body = await answer.json()
    assert tuple(body[name] for name in ("docs", "openapi", "asyncapi")) == PATHS


@pytest.mark.parametrize("path", PATHS[1:])
async def test_a_document_is_of_this_version(http: aiohttp.ClientSession, path: str) -> None:
    async with http.get(path) as answer:
        assert answer.content_type == "application/json"
        assert (await answer.json())["info"]["version"] == __version__


async def test_the_document_has_the_routes_that_are_served(http: aiohttp.ClientSession) -> None:
    """The other way round, a server with a route that is not in it does not start."""
    async with http.get("/openapi.json") as answer:
        paths = (await answer.json())["paths"]
    assert {(method.upper(), path) for path in paths for method in paths[path]} == set(ROUTES)


@pytest.mark.parametrize("path", PATHS)
async def test_who_has_it_is_not_given_it_again(http: aiohttp.ClientSession, path: str) -> None:
    async with http.get(path) as answer:
        etag = answer.headers["ETag"]
        assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-cache")
    for known, status in ((etag, 304), (f'"old", {etag}', 304), ("*", 304), ('"old"', 200)):
        async with http.get(path, headers={"If-None-Match": known}) as answer:
            assert (answer.status, answer.headers["ETag"]) == (status, etag), known
            assert bool(await answer.read()) == (status == 200)


async def test_the_page_may_run_nothing_but_its_own(http: aiohttp.ClientSession) -> None:
    async with http.get("/docs") as answer:
        policy = answer.headers["Content-Security-Policy"]
        assert answer.content_type == "text/html"
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert "http" not in policy


# ---- in a browser with the network shut


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncIterator[Browser]:
    async with running_chromium() as browser:
        yield browser


class Watched:
    """A page of our server that can reach nothing else, and what went wrong on it."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.faults: list[str] = []
        page.on("console", lambda message: self.faults.append(message.text))
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("requestfailed", lambda request: self.faults.append(request.url))

    async def ours(self, route: Route) -> None:
        """Lets through what goes to our server, and nothing else."""
        if urlsplit(route.request.url).netloc == urlsplit(self.url).netloc:
            await route.continue_()
        else:
            await route.abort()


@pytest_asyncio.fixture(params=SIZES, loop_scope="module")
async def docs(
    chromium: Browser, server: Server, request: pytest.FixtureRequest
) -> AsyncIterator[Watched]:
    context = await chromium.new_context(viewport=SIZES[request.param], color_scheme="dark")
    watched = Watched(await context.new_page(), server.url)
    await watched.page.route("**/*", watched.ours)
    await watched.page.goto(f"{server.url}/docs")
    yield watched
    await context.close()
    assert watched.faults == []


@pytest.mark.asyncio(loop_scope="module")
async def test_the_page_shows_every_route_event_and_code(docs: Watched) -> None:
    headings = await docs.page.locator("article h3").all_inner_texts()
    shown = [" ".join(heading.split()) for heading in headings]
    wanted = [f"{method} {path}" for method, path in ROUTES]
    wanted += [f"send {name}" for name in ASKED] + [f"told {name}" for name in TOLD]
    assert set(wanted) - set(shown) == set()
    for error in told():
        assert await docs.page.locator(f"#code-{error.code}").is_visible()


@pytest.mark.asyncio(loop_scope="module")
async def test_every_link_of_the_page_leads_somewhere(docs: Watched) -> None:
    links: list[str] = await docs.page.eval_on_selector_all(
        "a", "all => all.map((one) => one.getAttribute('href'))"
    )
    dead = await docs.page.evaluate(
        "links => links.filter((link) => link[0] === '#' && !document.querySelector(link))", links
    )
    assert dead == []
    for path in {link for link in links if not link.startswith("#")}:
        answer = await docs.page.request.get(docs.url + path)
        assert answer.ok, path
    assert len(links) > 100


@pytest.mark.asyncio(loop_scope="module")
async def test_the_page_is_no_wider_than_its_window_and_can_be_read_aloud(docs: Watched) -> None:
    """Every control has a name, every heading its level, every id is one of its kind."""
    told: dict[str, Any] = await docs.page.evaluate(
        """() => ({
            wide: document.documentElement.scrollWidth > innerWidth,
            nameless: [...document.querySelectorAll("a, button, input")].filter(
                (one) => !(one.textContent.trim() || one.ariaLabel)).length,
            twice: document.querySelectorAll("[id]").length
                - new Set([...document.querySelectorAll("[id]")].map((one) => one.id)).size,
            levels: [...document.querySelectorAll("h1, h2, h3, h4")].map((one) => +one.tagName[1]),
        })"""
    )
    levels = told.pop("levels")
    assert told == {"wide": False, "nameless": 0, "twice": 0}
    assert levels.count(1) == 1


@pytest.mark.asyncio(loop_scope="module")
async def test_a_name_that_is_looked_for_is_found(docs: Watched) -> None:
    await docs.page.get_by_role("searchbox", name="Find a route or an event").fill("resume")
    found = await docs.page.locator("nav li:not([hidden])").all_inner_texts()
    assert [text.strip() for text in found] == ["resume"]


@pytest.mark.asyncio(loop_scope="module")
async def test_an_example_is_copied_with_the_servers_own_address(docs: Watched) -> None:
    await docs.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    example = docs.page.locator("#get_auth_me .code").first
    await example.get_by_role("button", name="Copy: curl").click()
    await example.get_by_text("Copied").wait_for()
    text = await docs.page.evaluate("navigator.clipboard.readText()")
    assert text.startswith(f"curl {docs.url}/auth/me")

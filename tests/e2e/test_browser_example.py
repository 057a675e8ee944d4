"""``examples/browser`` in a real Chromium, as somebody uses it on a bad line."""

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from shutil import copytree
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Locator, Page, WebSocket, expect

from tests.chromium import running_chromium
from tests.e2e.accounts import PASSWORD
from tests.e2e.client import tokens
from tests.e2e.test_examples import breaking_off
from tests.floors import ROOT
from tests.node import ready_node
from tests.proxy import Proxy, running_proxy
from tests.server import Server, running_server

EXAMPLE = Path(__file__).parents[2] / "examples" / "browser"
STREAM = "/mock tokens=150 delay_ms=7"
WHOLE = tokens(150)
PAY = '/mock tool=pay {{"ledger": "{ledger}", "amount": 5}}'

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Visit:
    """One tab with the example in it."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.state = page.locator("#state")
        self.notice = page.locator("#notice")
        self.faults: list[str] = []
        self.hosts: set[str | None] = set()
        self.lines = 0
        """WebSockets that were opened."""
        page.on("websocket", self._lined)
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("request", lambda request: self.hosts.add(urlsplit(request.url).hostname))

    def _lined(self, _: WebSocket) -> None:
        self.lines += 1

    async def open(self, state: str = "here") -> None:
        await self.page.goto(self.url)
        await expect(self.state).to_have_attribute("data-state", state)

    async def say(self, text: str) -> None:
        await self.page.get_by_label("Your message").fill(text)
        await self.page.keyboard.press("Enter")

    async def press(self, name: str) -> None:
        await self.page.get_by_role("button", name=name, exact=True).click()

    def answers(self) -> Locator:
        """The text of each answer."""
        return self.page.locator("li[data-role=assistant] .text")

    def questions(self) -> Locator:
        return self.page.locator("li[data-role=user] .text")

    def tools(self) -> Locator:
        """What is shown of each tool that was called."""
        return self.page.locator(".tool")

    def note(self) -> Locator:
        """What is said below the last bubble."""
        return self.page.locator("li .note").last

    async def enter(self, email: str) -> None:
        """Makes an account at the door, which is open."""
        door = self.page.get_by_role("dialog")
        await door.get_by_label("E-mail").fill(email)
        await door.get_by_label("Password").fill(PASSWORD)
        await door.get_by_role("button", name="Make an account").click()
        await expect(self.state).to_have_text(f"Connected as {email}")

    async def token(self) -> str:
        """The access token that the page keeps."""
        kept = await self.page.evaluate("Object.values(localStorage)[0]")
        return str(json.loads(kept)["accessToken"])

    async def coming(self) -> None:
        """Returns in the middle of an answer."""
        await expect(self.answers().last).to_contain_text(re.compile(r"\b12 "))
        assert await self.page.locator("li[aria-busy]").count() == 1

    async def whole(self, text: str) -> None:
        """Returns once the last answer has ended, and is this."""
        await expect(self.answers().last).to_have_js_property("textContent", text)
        await expect(self.page.locator("li[aria-busy]")).to_have_count(0)


@asynccontextmanager
async def site(folder: Path, url: str) -> AsyncIterator[str]:
    """The example for the Talksy at ``url``, served as its README says."""
    copytree(EXAMPLE, folder, ignore=lambda *_: ["node_modules"], dirs_exist_ok=True)
    (folder / "node_modules").symlink_to(ready_node().modules)
    html = (folder / "index.html").read_text(encoding="utf-8")
    html = html.replace("localhost:3000", urlsplit(url).netloc)
    (folder / "index.html").write_text(html, encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        assert process.stdout is not None
        port = re.search(r"port (\d+)", (await process.stdout.readline()).decode())
        assert port is not None
        yield f"http://127.0.0.1:{port[1]}"
    finally:
        process.terminate()
        await process.wait()


@asynccontextmanager
async def visiting(
    context: BrowserContext, url: str, email: str | None = None
) -> AsyncIterator[Visit]:
    """A tab in which nothing goes wrong and nobody else is asked; with ``email`` as an account."""
    visit = Visit(await context.new_page(), url)
    await visit.open("out" if email else "here")
    if email:
        await visit.enter(email)
    yield visit
    await visit.page.close()
    assert visit.faults == []
    assert visit.hosts == {"127.0.0.1"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncIterator[Browser]:
    async with running_chromium() as chromium:
        expect.set_options(timeout=15_000)
        yield chromium


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[Server]:
    async with running_server(
        STREAM_COALESCE_MS=0, TOOL_MODULES="tests.e2e.toolshed", PYTHONPATH=ROOT
    ) as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def strict_server() -> AsyncIterator[Server]:
    """No guests, one message a minute, and tokens of two seconds."""
    async with running_server(
        GUESTS_ENABLED="no", RATE_LIMIT_MAX_REQUESTS=1, JWT_ACCESS_EXPIRY=2
    ) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="module")
async def context(chromium: Browser) -> AsyncIterator[BrowserContext]:
    """A browser that has never been here."""
    context = await chromium.new_context()
    yield context
    await context.close()


@pytest_asyncio.fixture(loop_scope="module")
async def proxy(server: Server) -> AsyncIterator[Proxy]:
    async with running_proxy(server.url) as proxy:
        yield proxy


@pytest_asyncio.fixture(loop_scope="module")
async def visit(proxy: Proxy, context: BrowserContext, tmp_path: Path) -> AsyncIterator[Visit]:
    """A guest on a line that can be cut."""
    async with site(tmp_path, proxy.url) as url, visiting(context, url) as visit:
        yield visit


async def test_a_guest_talks_and_finds_it_all_again_after_a_reload(visit: Visit) -> None:
    await visit.say("Tell me a joke")
    await visit.whole("Why did the socket never get lonely? It always had a peer.")
    await visit.say("<b>Grüße</b> & 👋")
    await visit.whole('I understood: "<b>Grüße</b> & 👋" Tell me more.')
    await visit.open()
    await expect(visit.questions()).to_have_text(["Tell me a joke", "<b>Grüße</b> & 👋"])
    await expect(visit.answers()).to_have_count(2)


async def test_an_answer_is_shown_word_by_word_through_every_cut(
    visit: Visit, proxy: Proxy
) -> None:
    proxy.cut_before(b'"seq":40}', b"SESSION_RESTORED", b'"seq":120}', b"stream_end")
    await visit.say(STREAM)
    await visit.coming()
    await visit.whole(WHOLE)
    assert proxy.cuts == 4


async def test_what_is_said_without_a_line_arrives_when_it_is_back(
    visit: Visit, proxy: Proxy
) -> None:
    async with proxy.refusing():
        await expect(visit.state).to_have_text("Reconnecting…")
        await visit.say("Tell me a joke")
    await visit.whole("Why did the socket never get lonely? It always had a peer.")
    assert await visit.questions().count() == 1


async def test_an_answer_goes_on_when_the_page_is_loaded_anew(visit: Visit) -> None:
    await visit.say(STREAM)
    await visit.coming()
    await visit.open()
    await visit.whole(WHOLE)
    await expect(visit.questions()).to_have_text([STREAM])
    await expect(visit.answers()).to_have_count(1)


async def test_an_answer_is_stopped_and_asked_for_again(visit: Visit) -> None:
    await visit.say("/mock tokens=30 hang_after=20")
    await visit.coming()
    await visit.press("Stop")
    await expect(visit.note()).to_have_text("Stopped. Try again")
    await visit.whole(tokens(20))
    await expect(visit.page.get_by_role("button", name="Stop")).to_be_hidden()
    await visit.press("Try again")
    await expect(visit.page.get_by_role("button", name="Stop")).to_be_visible()
    await visit.coming()
    await visit.press("Stop")
    await expect(visit.answers()).to_have_count(1)


async def test_a_tool_that_a_person_approves_runs_and_is_shown(
    visit: Visit, tmp_path: Path
) -> None:
    await visit.say(PAY.format(ledger=tmp_path / "ledger"))
    await expect(visit.tools()).to_contain_text('"amount":5')
    await visit.press("Approve")
    await visit.whole("pay says: paid 5")
    await expect(visit.tools()).to_have_text(re.compile(r"^pay \{.*\} ✓$"))
    await expect(visit.tools().get_by_role("button")).to_have_count(0)


async def test_a_tool_still_waits_when_the_page_is_loaded_anew_and_is_refused(
    visit: Visit, tmp_path: Path
) -> None:
    await visit.say(PAY.format(ledger=tmp_path / "ledger"))
    await expect(visit.tools()).to_have_count(1)
    await visit.open()
    await visit.press("Deny")
    await visit.whole("pay was refused: a person refused this call")
    await expect(visit.tools()).to_contain_text("✗ a person refused")
    assert not (tmp_path / "ledger").exists()


async def test_two_tabs_are_in_one_conversation(visit: Visit, context: BrowserContext) -> None:
    await visit.say("Tell me a joke")
    await visit.whole("Why did the socket never get lonely? It always had a peer.")
    async with visiting(context, visit.url) as other:
        await expect(other.answers()).to_have_count(1)
        await other.say(STREAM)
        await visit.coming()
        await visit.whole(WHOLE)
        await expect(visit.questions()).to_have_text(["Tell me a joke", STREAM])
        await visit.say("And now?")
        await other.whole('I understood: "And now?" Tell me more.')


async def test_somebody_makes_an_account_leaves_and_comes_back(visit: Visit) -> None:
    await visit.press("Log in")
    door = visit.page.get_by_role("dialog")
    await door.get_by_label("E-mail").fill("grace@example.com")
    await door.get_by_label("Password").fill("short")
    await door.get_by_role("button", name="Make an account").click()
    await expect(door.get_by_role("alert")).to_contain_text("password")
    await visit.enter("grace@example.com")
    await visit.press("Log out")
    await expect(visit.state).to_have_text("Connected as a guest")
    await visit.press("Log in")
    await door.get_by_label("E-mail").fill("Grace@example.com")
    await door.get_by_label("Password").fill(PASSWORD)
    await visit.page.keyboard.press("Enter")
    await expect(visit.state).to_have_text("Connected as grace@example.com")


async def test_where_guests_are_not_let_in_each_message_counts_for_an_account(
    context: BrowserContext, tmp_path: Path, strict_server: Server
) -> None:
    async with (
        site(tmp_path, strict_server.url) as url,
        visiting(context, url, "ida@example.com") as visit,
    ):
        await visit.say("hello")
        await visit.whole("Hello! How can I help you today?")
        await visit.say("thanks")
        await expect(visit.note()).to_contain_text("Not sent: 1 messages each 60 s are allowed")
        await expect(visit.notice).to_have_text(re.compile("0 of 1 messages left.* Wait [56]. s"))


async def test_an_open_line_goes_on_under_fresh_tokens(
    context: BrowserContext, tmp_path: Path, strict_server: Server
) -> None:
    """After half of its life the page is told of its token's end; nothing is cut."""
    async with (
        site(tmp_path, strict_server.url) as url,
        visiting(context, url, "heddy@example.com") as visit,
    ):
        await expect(visit.state).to_have_text("Connected as heddy@example.com")
        lines, first = visit.lines, await visit.token()
        while await visit.token() == first:
            await visit.page.wait_for_event("requestfinished", lambda it: "refresh" in it.url)
        await visit.say("hello")
        await visit.whole("Hello! How can I help you today?")
        assert visit.lines == lines


async def test_a_model_that_breaks_off_is_replaced_by_the_next(
    context: BrowserContext, tmp_path: Path
) -> None:
    async with (
        breaking_off() as server,
        site(tmp_path, server.url) as url,
        visiting(context, url) as visit,
    ):
        await visit.say("/habit cut")
        await visit.whole('I understood: "/habit cut" Tell me more.')
        await expect(visit.note()).to_have_text("Answered by mock, which stands in.")

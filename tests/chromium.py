"""A real Chromium without a screen, which can reach nothing but this machine.

async with running_chromium() as chromium:
    context = await chromium.new_context()
"""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Browser, async_playwright

HINT = (
    "No Chromium: install it (Debian: apt-get install chromium; any system: `python -m playwright "
    "install chromium`). TALKSY_REQUIRE_REAL=0 skips."
)
NAMES = ("chromium", "chromium-browser", "google-chrome")
MACS = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")
FLAGS = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
]


@asynccontextmanager
async def running_chromium() -> AsyncIterator[Browser]:
    """Fails the test, or skips it, where there is no Chromium."""
    async with async_playwright() as playwright:
        own = Path(playwright.chromium.executable_path)
        system = [Path(found) for name in NAMES if (found := shutil.which(name))]
        program = next((path for path in (*system, MACS, own) if path.exists()), None)
        if program is None:
            if os.environ.get("TALKSY_REQUIRE_REAL") == "0":
                pytest.skip(HINT)
            pytest.fail(HINT)
        browser = await playwright.chromium.launch(executable_path=program, args=FLAGS)
        try:
            yield browser
        finally:
            await browser.close()

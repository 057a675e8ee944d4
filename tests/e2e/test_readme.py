"""What the README shows is what happens, also when the line is cut while it happens."""

import re
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from talksy.ai.llm.directive import parse
from talksy.config import Settings
from tests.node import ready_node, run
from tests.proxy import Proxy, running_proxy
from tests.server import running_server

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
JOKE = "Why did the socket never get lonely? It always had a peer.\n"

CUTS: dict[str, tuple[bytes, ...]] = {
    "never": (),
    "before the socket is connected": (b'0{"sid"',),
    "before the namespace is": (b'40{"sid"',),
    "before SESSION_CREATED": (b"SESSION_CREATED",),
    "between the message and its ack": (b'"messageId"',),
    "before the answer begins": (b"stream_start",),
    "with none of it seen": (b'"seq":1}',),
    "in its middle": (b'"seq":5}',),
    "just before its end": (b"stream_end",),
    "again and again": (
        b"SESSION_CREATED",
        b'"messageId"',
        b"stream_start",
        b'"seq":3}',
        b"SESSION_RESTORED",
        b'"seq":7}',
        b"stream_end",
    ),
}
"""Where the line is cut: before the first of these goes to the client, then before the second…"""


def block(language: str, contains: str = "") -> str:
    """The first code block of a language that has ``contains`` in it."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return next(str(found) for found in blocks if contains in found)


def pasted(folder: Path, name: str, language: str, url: str) -> str:
    """A block saved as a file, for the server at ``url``."""
    text = block(language)
    assert "http://localhost:3000" in text
    (folder / name).write_text(text.replace("http://localhost:3000", url), encoding="utf-8")
    return str(folder / name)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server_url() -> AsyncIterator[str]:
    """A server that answers word by word, each word a chunk."""
    async with running_server(AI_MOCK_RESPONSE_DELAY_MS=5, STREAM_COALESCE_MS=0) as server:
        yield server.url


@pytest.fixture
async def proxy(server_url: str) -> AsyncIterator[Proxy]:
    async with running_proxy(server_url) as proxy:
        yield proxy


@pytest.mark.parametrize("cuts", CUTS.values(), ids=CUTS)
async def test_five_lines_of_javascript_print_the_whole_answer(
    cuts: tuple[bytes, ...], proxy: Proxy, tmp_path: Path
) -> None:
    node = ready_node()
    (tmp_path / "node_modules").symlink_to(node.modules)
    script = pasted(tmp_path, "chat.mjs", "js", proxy.url)
    proxy.cut_before(*cuts)
    assert await run(node.program, script, cwd=tmp_path) == (JOKE, "")
    assert proxy.cuts == len(cuts)


@pytest.mark.parametrize("cuts", CUTS.values(), ids=CUTS)
async def test_five_lines_of_python_print_the_whole_answer(
    cuts: tuple[bytes, ...], proxy: Proxy, tmp_path: Path
) -> None:
    script = pasted(tmp_path, "chat.py", "python", proxy.url)
    proxy.cut_before(*cuts)
    assert await run(sys.executable, script, cwd=tmp_path) == (JOKE, "")
    assert proxy.cuts == len(cuts)


@pytest.mark.parametrize("language", ["js", "python"])
def test_five_lines_are_five(language: str) -> None:
    lines = [line for line in block(language).splitlines() if line]
    code = [line for line in lines if language == "js" or not line.startswith("import ")]
    assert len(code) == 5


async def test_the_requests_from_the_command_line_are_answered(
    server_url: str, tmp_path: Path
) -> None:
    bash = shutil.which("bash")
    if bash is None or shutil.which("curl") is None:
        pytest.skip("no bash or no curl on this machine")
    script = block("bash", "curl").replace("http://localhost:3000", server_url)
    script = script.replace("curl -s", "curl -sS --fail-with-body -w '\\n'")
    out, err = await run(bash, "-euo", "pipefail", "-c", script, cwd=tmp_path)
    assert err == ""
    answers = out.splitlines()
    assert '"status":"ok"' in answers[0]
    assert '"email":"ada@example.com"' in answers[2]
    assert len(answers) == 5, "logging out answers with nothing"


def test_the_table_names_exactly_the_settings() -> None:
    named = re.findall(r"^\| `([A-Z_]+)` \|", README, re.MULTILINE)
    assert sorted(named) == sorted(name.upper() for name in Settings.model_fields)


def test_the_table_gives_the_true_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| `([^`]*)` \|", README, re.MULTILINE))
    assert len(rows) > 40
    assert Settings.load(rows, env_file=None) == Settings.load({}, env_file=None)


def test_the_directives_shown_can_be_followed() -> None:
    shown = re.findall(r"`(/mock [^`…]+)`", README)
    assert len(shown) == 10
    assert all(parse(text) for text in shown)

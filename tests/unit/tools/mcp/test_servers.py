"""The servers an operator lists."""

import subprocess
import sys
from typing import Any

import pytest

from talksy.tools.mcp import read_servers


def test_a_server_is_a_command_or_a_url() -> None:
    files, crm = read_servers(
        {
            "files": {"command": "mcp-files", "args": ["--root", "/srv"], "env": {"A": "b"}},
            "crm": {"url": "https://crm.example.com/mcp", "headers": {"Authorization": "x"}},
        }
    )
    assert (files.args, files.policy, files.source) == (("--root", "/srv"), "ask", "mcp:files")
    assert (crm.url, crm.scope) == ("https://crm.example.com/mcp", "tools:basic")


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("a", {}, "give either a command to start or the url"),
        ("a", {"command": "x", "url": "http://y"}, "give either a command to start or the url"),
        ("a", {"command": "x", "headers": {}, "policy": "always"}, "policy: Input should be"),
        ("a", {"command": "x", "headers": {"a": "b"}}, "headers go with a url"),
        ("a", {"url": "http://y", "args": ["z"]}, "args, env and cwd go with a command"),
        ("a", {"url": "ftp://y"}, "does not begin with http:// or https://"),
        ("a", {"url": "http://me:secret@y"}, "its url holds a password"),
        ("a", {"command": "x", "tools": {"t": {"polcy": "ask"}}}, "tools.t.polcy: Extra inputs"),
        ("a", {"command": "x", "timeout_ms": "5"}, "timeout_ms: Input should be a valid integer"),
        ("a__b", {"command": "x"}, "its name is not"),
        ("1a", {"command": "x"}, "its name is not"),
        (25 * "a", {"command": "x"}, "its name is not"),
    ],
)
def test_a_fault_is_named_with_its_server(name: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=f"^{name}: ") as caught:
        read_servers({name: options})
    assert said in str(caught.value)


def test_no_fault_and_no_picture_shows_a_secret() -> None:
    with pytest.raises(ValueError, match="files") as caught:
        read_servers({"files": {"command": "x", "env": {"KEY": ["s3cret"]}}})
    assert "s3cret" not in str(caught.value)
    (server,) = read_servers({"crm": {"url": "http://s3cret/", "headers": {"a": "s3cret"}}})
    assert "s3cret" not in repr(server)


def test_without_the_extra_a_start_is_refused() -> None:
    code = """
import asyncio, sys
from talksy.tools import Toolbox
from talksy.tools.mcp import open_mcp
sys.modules["mcp"] = None
async def main():
    async with open_mcp({}, Toolbox()):
        print("nothing is needed for nothing")
    async with open_mcp({"a": {"command": "x"}}, Toolbox()):
        pass
try:
    asyncio.run(main())
except ValueError as error:
    print(error)
"""
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    assert run.stdout.splitlines() == [
        "nothing is needed for nothing",
        "it needs the extra mcp: pip install 'talksy[mcp]'",
    ]

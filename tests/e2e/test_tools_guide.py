"""What docs/tools.md shows is what happens."""

import re
import sys
from pathlib import Path

from talksy.tools import BASIC, Caller
from talksy.tools.opening import open_toolbox
from tests.e2e.accounts import Account
from tests.e2e.test_cli import talksy
from tests.node import run
from tests.server import DEFAULTS, running_server

GUIDE = (Path(__file__).parents[2] / "docs" / "tools.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)


def saved(folder: Path, name: str) -> Path:
    """The block that is the file of that name."""
    (text,) = (block for block in blocks("python") if block.startswith(f"# {name}\n"))
    folder.chmod(0o755)
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


async def test_the_first_tool_returns_what_is_shown(tmp_path: Path) -> None:
    saved(tmp_path, "my_tools.py")
    (command,) = (block for block in blocks("bash") if "check_stock" in block)
    setting, _, *arguments, parameters = command.rstrip("'\n").replace(" '", " ", 1).split(" ", 5)
    name, _, value = setting.partition("=")
    code, out, err = await talksy(tmp_path, *arguments, parameters, **{name: value})
    assert (code, err) == (0, "")
    assert out in blocks("json")


async def test_a_dear_order_is_approved_as_shown(tmp_path: Path) -> None:
    saved(tmp_path, "my_tools.py")
    data = tmp_path / "data"
    async with running_server(
        TOOL_MODULES="my_tools", PYTHONPATH=tmp_path, DATA_DIR=data
    ) as server:
        account = await Account.register(server.url)
        secret = str(DEFAULTS["JWT_SECRET"])
        given = {"JWT_SECRET": secret, "DATA_DIR": str(data)}
        command = ("user", "scope", "add", account.email, "shop:buy")
        assert (await talksy(tmp_path, *command, **given))[0] == 0
        _, token, _ = await talksy(tmp_path, "token", "--email", account.email, **given)
        script = saved(tmp_path, "approve.py")
        text = script.read_text(encoding="utf-8").replace("http://localhost:3000", server.url)
        script.write_text(text, encoding="utf-8")
        environment = f"TOKEN={token.strip()}"
        out, err = await run("env", environment, sys.executable, str(script), cwd=tmp_path)
    assert (out, err) == (blocks("text")[0], "")


async def test_the_sandboxed_one_runs_from_its_file(tmp_path: Path) -> None:
    path = saved(tmp_path, "their_tools.py")
    async with open_toolbox(sandboxed=[str(path)]) as box:
        tool = box.find("mirror", {BASIC})
        result = await box.run(tool, tool.check({"text": "tea"}), Caller("c", "u", "s"))
    assert result.result == "aet"


def test_every_built_in_tool_is_told_of() -> None:
    table = GUIDE.partition("## What is built in")[2].partition("\n## ")[0]
    told = set(re.findall(r"`(\w+) \{", table))
    assert {"run_python", "fetch_url", "remember", "recall", "calculate"} <= told
    assert {"get_current_time", "unit_convert", "get_account_balance", "get_order_status"} <= told

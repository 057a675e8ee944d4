"""A real server between vendors that fail: every turn ends once, in time, and tells the truth."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.e2e.accounts import Account
from tests.e2e.client import Client
from tests.e2e.test_chat import talk
from tests.e2e.test_readme import pasted
from tests.node import ready_node, run
from tests.server import Server, running_server
from tests.vendors.openai_server import OpenAIServer, answer
from tests.vendors.package import ECHO, wheel
from tests.vendors.replay import Scenario
from tests.vendors.table import ALONE, FIRST_TOKEN_MS, GAP_MS, Row, cases, collect, house

GREETING = "Hello from the replaying server."
BALANCE = '{"userId":"user-1","balance":1250.75,"currency":"USD"}'
ORDER = '{"orderId":"ORD-1001","status":"shipped","carrier":"DHL","expected":"tomorrow"}'
WELL = {
    "greeting": GREETING,
    "thinking": GREETING,
    "comments": GREETING,
    "shredded": "grüß dich, 世界 🙂",
    "bare": "Hello",
    "surrogates": "a\ufffd\ufffdb\ufffdc",
    "tool": f"get_order_status says: {ORDER}",
    "tools": f"One moment. get_account_balance says: {BALANCE} get_order_status says: {ORDER}",
    "tool-cut": 'get_order_status failed: the arguments are no JSON object: {"orderId": "OR',
}
"""Habits that are no faults of the vendor, each with its text."""
RESETS = {
    "cut": "provider_unavailable",
    "early-end": "provider_unavailable",
    "error-inside": "provider_unavailable",
    "stopped": "provider_unavailable",
    "hang": "provider_timeout",
}
"""Faults after the first token, each with what the reset says. All others come before it."""
SLACK = 10.0
"""Seconds that a busy machine may take beside what is waited for."""


def check(row: Row, stand_in: str) -> None:
    """Holds a turn against what its habit must come to, with ``stand_in`` behind it."""
    ending, own = row.ending, row.habit in WELL
    assert [event.data["seq"] for event in row.events] == list(range(len(row.events)))
    endings = [event.name for event in row.events if event.name == "stream_end"]
    assert (endings, row.events[-1].name) == (["stream_end"], "stream_end")
    assert row.resets == ([RESETS[row.habit]] if row.habit in RESETS else [])
    assert ending["provider"] == (row.vendor if own else stand_in)
    assert ending.get("degraded", False) is not own
    assert ending["reason"] == "completed"
    if own:
        assert row.text == WELL[row.habit]
    chunks = [event.data for event in row.events if event.name == "stream_chunk"]
    assert ending["chunks"] == (chunks[-1]["index"] + 1 if chunks else 0)
    assert row.seconds < (FIRST_TOKEN_MS + GAP_MS) / 1000 + SLACK


async def test_every_fault_of_every_vendor_ends_well_where_others_can_answer() -> None:
    async with house() as server:
        rows = await collect(server, cases())
        assert len(rows) == len(cases())
        for row in rows:
            check(row, "openai")
            assert row.habit in WELL or row.text == GREETING
        assert "secret" not in str(server.log)


async def test_where_only_the_mock_is_left_it_answers_and_says_so() -> None:
    async with house(**ALONE) as server:
        for row in await collect(server, [case for case in cases() if case[0] == "groq"]):
            check(row, "mock")
        async with (
            aiohttp.ClientSession(server.url) as http,
            http.get("/health/detailed") as reply,
        ):
            said = (await reply.json())["components"]["providers"]
    assert (said["model"], said["breaker"], said["state"]) == ("wrong-key", "open", "degraded")
    assert {each["provider"] for each in said["models"]} == {"openai", "groq", "mock"}


@pytest.fixture
async def vendor() -> AsyncIterator[OpenAIServer]:
    async with OpenAIServer() as vendor:
        yield vendor


async def joined(server: Server) -> Client:
    account = await Account.register(server.url)
    return await Client.connect(server.url, auth={"token": account.token})


async def test_in_production_a_mock_that_is_named_is_warned_of_and_always_degraded() -> None:
    async with running_server(
        TALKSY_ENV="production", CORS_ORIGIN="https://app.example.com", AI_PROVIDER="mock"
    ) as server:
        await server.logged("mock_in_production")
        client = await joined(server)
        ack = await client.say("hi")
        ending = await client.ending(ack["turnId"])
        assert (ending["provider"], ending["degraded"]) == ("mock", True)
        await client.close()


async def test_a_turn_may_be_told_to_fail_after_its_first_word(vendor: OpenAIServer) -> None:
    async with running_server(
        AI_PROVIDER="openai:cut,mock",
        OPENAI_BASE_URL=vendor.url,
        AI_FAILURE_AFTER_FIRST_TOKEN="fail",
    ) as server:
        client = await joined(server)
        ack = await client.say("hi")
        ending = await client.ending(ack["turnId"])
        assert (ending["reason"], ending["text"]) == ("failed", "Hello from ")
        assert ending["error"]["code"] == "PROVIDER_UNAVAILABLE"
        assert "degraded" not in ending
        await client.close()


async def test_a_message_may_ask_for_a_model_of_the_list_and_no_other() -> None:
    async with running_server(AI_PROVIDER="mock:usual", AI_MODELS="small,mock:tiny") as server:
        client = await joined(server)
        named = {"usual": "usual", "small": "small", "mock:tiny": "tiny"}
        for name, model in named.items():
            ack = await client.say("hi", model=name)
            ending = await client.ending(ack["turnId"])
            assert (ending["model"], ending.get("degraded")) == (model, None)
        error = await client.refused("user_message_stream", {"text": "hi", "model": "huge"})
        assert error["code"] == "VALIDATION_ERROR"
        assert error["errors"] == [
            {"path": "model", "message": "is not one of usual, small, mock:tiny"}
        ]
        await client.close()


async def test_a_package_that_is_installed_adds_a_provider(tmp_path: Path) -> None:
    """Installed by pip, named in one setting, answering like any other."""
    target = tmp_path / "installed"
    pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--quiet"]
    file = wheel(tmp_path, "echo", ECHO)
    installing = await asyncio.create_subprocess_exec(*pip, "--target", target, file)
    assert await installing.wait() == 0
    async with running_server(
        PYTHONPATH=target, AI_PROVIDER="echo", AI_PLUGIN_OPTIONS='{"echo": {"mark": "? "}}'
    ) as server:
        client = await joined(server)
        ack = await client.say("are you there")
        ending = await client.ending(ack["turnId"])
        chunks = [event.data["content"] for event in client.turn(ack["turnId"])[1:-1]]
        assert "".join(chunks) == "are? you? there? "
        assert (ending["provider"], ending["model"]) == ("echo", "loud")
        assert ending["usage"]["totalTokens"] == 3
        await client.close()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"AI_PROVIDER": "acme"}, 'no model vendor "acme": the known ones are groq, mock'),
        (
            {"AI_PROVIDER": "groq", "GROQ_BASE_URL": "http://h/openai/v1"},
            "GROQ_BASE_URL has a path",
        ),
    ],
)
def test_a_provider_that_cannot_be_had_is_said_in_one_line(
    settings: dict[str, str], said: str, tmp_path: Path
) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "talksy", "serve"],
        env={"PATH": "", "DATA_DIR": str(tmp_path), **settings},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode != 0
    assert said in run.stderr
    assert "Traceback" not in run.stderr


async def test_a_reset_is_numbered_and_can_be_resumed_over(vendor: OpenAIServer) -> None:
    """Whoever comes back reads the reset as well, whatever it had before."""
    async with running_server(
        AI_PROVIDER="openai:cut,openai:usual", OPENAI_BASE_URL=vendor.url, STREAM_COALESCE_MS=0
    ) as server:
        vendor.script(
            Scenario((*answer("old ", "text").writes[:3],), then="cut"), answer("new ", "words")
        )
        account = await Account.register(server.url)
        client = await Client.connect(server.url, auth={"token": account.token})
        ack = await client.say("hi")
        await client.ending(ack["turnId"])
        whole = client.turn(ack["turnId"])
        names = ["stream_start", *["stream_chunk"] * 2, "stream_reset", *["stream_chunk"] * 2]
        assert [event.name for event in whole] == [*names, "stream_end"]
        assert [event.data.get("index") for event in whole[1:-1]] == [0, 1, None, 0, 1]
        session = (await client.session())["sessionId"]
        for after in range(-1, 6):
            resume = [{"turnId": ack["turnId"], "after": after}]
            auth = {"token": account.token, "sessionId": session, "resume": resume}
            back = await Client.connect(server.url, auth=auth)
            await back.ending(ack["turnId"])
            assert back.turn(ack["turnId"]) == whole[after + 1 :]
            await back.close()
        await client.close()


async def test_all_clients_of_ours_begin_a_new_line_for_a_new_answer(
    vendor: OpenAIServer, tmp_path: Path
) -> None:
    """The blocks of the README, and the terminal client, which also says why."""
    node = ready_node()
    (tmp_path / "node_modules").symlink_to(node.modules)
    async with running_server(
        AI_PROVIDER="openai:cut,openai:usual", OPENAI_BASE_URL=vendor.url, STREAM_COALESCE_MS=0
    ) as server:
        account = await Account.register(server.url)
        javascript, python, (code, shown, notes) = await asyncio.gather(
            run(node.program, pasted(tmp_path, "chat.mjs", "js", server.url), cwd=tmp_path),
            run(sys.executable, pasted(tmp_path, "chat.py", "python", server.url), cwd=tmp_path),
            talk(server.url, "hi", token=account.token),
        )
    answer = f"Hello from \n{GREETING}\n"
    assert (javascript, python) == ((answer, ""), (answer, ""))
    assert (code, shown) == (0, answer)
    assert "another model begins again" in notes

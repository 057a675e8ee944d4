"""The same conversation through the vendor's own SDK, from a server that speaks its wire."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.e2e.accounts import Account
from tests.e2e.client import Client
from tests.e2e.test_readme import pasted
from tests.node import ready_node, run
from tests.proxy import running_proxy
from tests.server import Server, running_server
from tests.vendors.openai_server import OpenAIServer, answer
from tests.vendors.replay import Scenario

WORDS = tuple(f"word{number} " for number in range(40))


@pytest.fixture
async def vendor() -> AsyncIterator[OpenAIServer]:
    async with OpenAIServer() as vendor:
        yield vendor


@pytest.fixture
async def server(vendor: OpenAIServer) -> AsyncIterator[Server]:
    async with running_server(
        AI_PROVIDER="openai",
        OPENAI_BASE_URL=vendor.url,
        OPENAI_API_KEY="not-a-real-key",
        OPENAI_MODEL="replayed",
        STREAM_COALESCE_MS=0,
    ) as server:
        yield server


@pytest.mark.parametrize("cut", [False, True], ids=["whole", "cut in mid-answer"])
async def test_the_readmes_chat_streams_through_the_sdk(
    cut: bool, server: Server, vendor: OpenAIServer, tmp_path: Path
) -> None:
    """Five lines of JavaScript print what the vendor streams, also over a line that is cut."""
    vendor.script(answer(*WORDS, pace=0.005))
    node = ready_node()
    (tmp_path / "node_modules").symlink_to(node.modules)
    async with running_proxy(server.url) as proxy:
        if cut:
            proxy.cut_before(b'"seq":20}')
        script = pasted(tmp_path, "chat.mjs", "js", proxy.url)
        assert await run(node.program, script, cwd=tmp_path) == ("".join(WORDS) + "\n", "")
        assert proxy.cuts == cut
    (asked,) = vendor.asked
    assert asked.path == "/v1/chat/completions"
    assert asked.body["model"] == "replayed"
    assert asked.body["messages"][-1] == {"role": "user", "content": "Tell me a joke"}


async def test_cancelling_a_turn_closes_the_vendors_connection(
    server: Server, vendor: OpenAIServer
) -> None:
    vendor.script(Scenario((*answer(*WORDS[:3]).writes[:3],), then="hang"))
    account = await Account.register(server.url)
    client = await Client.connect(server.url, auth={"token": account.token})
    ack = await client.say("Tell me everything")
    await client.until(ack["turnId"], 2)

    cancelled = await client.call("cancel", {"turnId": ack["turnId"]})

    assert cancelled["status"] == "cancelled"
    await vendor.disconnected.wait()
    ending = await client.ending(ack["turnId"])
    assert (ending["text"], ending["provider"], ending["model"]) == (
        "word0 word1 ",
        "openai",
        "replayed",
    )
    await client.close()


@pytest.mark.parametrize(
    ("habit", "code", "text"),
    [
        ("wrong-key", "PROVIDER_UNAVAILABLE", ""),
        ("busy", "PROVIDER_UNAVAILABLE", ""),
        ("broken", "PROVIDER_UNAVAILABLE", ""),
        ("html", "PROVIDER_UNAVAILABLE", ""),
        ("cut", "PROVIDER_UNAVAILABLE", "Hello from "),
        ("error-inside", "PROVIDER_UNAVAILABLE", "Hello from "),
    ],
)
async def test_what_the_vendor_does_wrong_is_told_honestly(
    habit: str, code: str, text: str, server: Server
) -> None:
    """The turn ends once, as failed, with what was given, and the client learns no secret."""
    account = await Account.register(server.url)
    client = await Client.connect(server.url, auth={"token": account.token})

    ack = await client.say(f"/habit {habit}")
    ending = await client.ending(ack["turnId"])

    assert (ending["reason"], ending["error"]["code"], ending["text"]) == ("failed", code, text)
    assert "not-a-real-key" not in str(server.log)
    assert "sk-secret" not in f"{client.events}{server.log}"
    await client.close()

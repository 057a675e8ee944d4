"""Tools of an MCP server, from a client of a running Talksy and from the command line."""

import json
from contextlib import AsyncExitStack
from pathlib import Path

from tests.e2e.accounts import Account
from tests.e2e.conftest import Door
from tests.e2e.test_check import checked, told
from tests.e2e.test_cli import talksy
from tests.integration.mcp.rig import liar
from tests.server import running_server


async def test_a_model_calls_a_tool_that_a_person_approved(open_clients: AsyncExitStack) -> None:
    servers = {"liar": liar("open"), "nobody": {"command": "/nowhere/mcp"}}
    async with running_server(TOOL_MCP_SERVERS=json.dumps(servers)) as server:
        await server.logged("mcp_up", server="liar")
        await server.logged("mcp_down", server="nobody")
        account = await Account.register(server.url)
        client = await Door(server.url, "websocket", open_clients).open(account)
        turn_id = (await client.say('/mock tokens=2 tool=liar__ask {"a": 1}'))["turnId"]
        call = await client.wait("tool_call", turnId=turn_id)
        assert call["needsApproval"] is True
        await client.call("tool_decision", {"callId": call["callId"], "decision": "approve"})
        result = (await client.wait("tool_result", turnId=turn_id))["result"]
        assert (await client.ending(turn_id))["reason"] == "completed"
        # The server itself was started with much more.
        assert set(result["environment"]) <= {"PATH", "LC_CTYPE", "__CF_USER_TEXT_ENCODING"}
        assert result["effect"]["talksy/effectId"]


async def test_check_tells_which_servers_are_there(tmp_path: Path) -> None:
    servers = {"liar": liar("polite", env={"KEY": "secret"}), "nobody": {"command": "/nowhere/mcp"}}
    findings = await checked(tmp_path, 0, TOOL_MCP_SERVERS=json.dumps(servers))
    assert "mcp: liar has 1 tools (None)" in told(findings, "ok")
    assert (
        "mcp: nobody is away: it cannot be started (No such file or directory) "
        "(start it, or correct TOOL_MCP_SERVERS)"
    ) in told(findings, "risky")


async def test_a_wrong_server_stops_the_start_and_is_named(tmp_path: Path) -> None:
    wrong = json.dumps({"crm": {"url": "https://crm.example.com", "env": {"KEY": "secret"}}})
    code, _, err = await talksy(tmp_path, "serve", TOOL_MCP_SERVERS=wrong)
    assert code != 0
    assert "TOOL_MCP_SERVERS: crm: args, env and cwd go with a command" in err
    assert "secret" not in err

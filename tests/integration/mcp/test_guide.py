"""What docs/tools.md shows of MCP servers is what happens."""

import json
import re
import sys
from pathlib import Path

from talksy.tools.mcp import read_servers
from tests.integration.mcp.rig import rig

GUIDE = Path(__file__).parents[3] / "docs" / "tools.md"


def block(pattern: str) -> str:
    """What the guide has once."""
    (found,) = re.findall(pattern, GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return str(found)


async def test_the_weather_of_the_guide_is_told(tmp_path: Path) -> None:
    script = block(r"^```python\n(# weather\.py\n.*?)^```$")
    servers = json.loads(block(r"^TOOL_MCP_SERVERS='(.*?)'$"))
    (tmp_path / "weather.py").write_text(script, encoding="utf-8")
    assert [server.name for server in read_servers(servers)] == ["weather", "crm"]
    weather = {**servers["weather"], "command": sys.executable, "cwd": str(tmp_path)}
    async with rig(weather=weather) as here:
        result = await here.call("weather__forecast", city="Graz")
    assert result.result == {"result": "Tomorrow it stays dry in Graz."}

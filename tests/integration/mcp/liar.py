"""An MCP server that speaks an older protocol by hand, honestly or not: by its habit."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

OBJECT = {"type": "object"}


def tool(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "description": name, "inputSchema": OBJECT, **more}


def schemas() -> list[Any]:
    """Two tools as they should be among those that are not."""
    deep: dict[str, Any] = {}
    for _ in range(100):
        deep = {"not": deep}
    doubling = {f"a{i}": {"allOf": 2 * [{"$ref": f"#/$defs/a{i + 1}"}]} for i in range(30)}
    return [
        tool("first"),
        tool("remote", inputSchema={**OBJECT, "properties": {"a": {"$ref": "http://[::1]:9/a"}}}),
        tool("list", inputSchema={"type": "array"}),
        tool("text", inputSchema="nothing"),
        tool("none", inputSchema={**OBJECT, "properties": {"a": {"type": "nonsense"}}}),
        tool("deep", inputSchema={**OBJECT, "not": deep}),
        tool("huge", inputSchema={**OBJECT, "description": 70_000 * "x"}),
        tool("doubling", inputSchema={**OBJECT, "$defs": doubling, "$ref": "#/$defs/a0"}),
        tool("result", outputSchema={"type": "object", "$ref": "other.json"}),
        {"description": "without a name"},
        "no tool at all",
        tool("last"),
        tool("last"),
    ]


class Liar:
    def __init__(self, habit: str, *rest: str) -> None:
        self.habit, self.rest = habit, rest
        self.tools: list[Any] = [tool("ask")]

    def say(self, **message: Any) -> None:
        print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)

    def run(self) -> None:
        if self.habit == "orphan":
            # A child that nobody told to end, in the group of this process.
            code = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"
            child = subprocess.Popen([sys.executable, "-c", code])
            Path(self.rest[0]).write_text(str(child.pid))
        if self.habit == "banner":
            print("Welcome to the server!", flush=True)
        for line in sys.stdin:
            asked = json.loads(line)
            if "id" in asked and "method" in asked and self.habit != "mute":
                self.answer(asked["id"], asked["method"], asked.get("params", {}))

    def answer(self, number: int, method: str, params: dict[str, Any]) -> None:
        known = {"initialize": self.meet, "tools/list": self.list, "tools/call": self.call}
        if method in known:
            known[method](number, params)
        else:
            self.say(id=number, error={"code": -32601, "message": "what?"})

    def meet(self, number: int, _params: dict[str, Any]) -> None:
        who = {"name": "liar", "version": "1"}
        can = {"tools": {"listChanged": True}}
        met = {"protocolVersion": "2025-06-18", "capabilities": can, "serverInfo": who}
        self.say(id=number, result=met)

    def list(self, number: int, params: dict[str, Any]) -> None:
        result: dict[str, Any] = {"tools": self.tools}
        match self.habit:
            case "schemas":
                result = {"tools": schemas()}
            case "endless":
                page = int(params.get("cursor", 0)) + 1
                result = {"tools": [], "nextCursor": str(page)}
            case "picky":
                numbers = {"a": {"type": "integer"}, "b": {"type": "integer"}}
                wanted = {**OBJECT, "properties": numbers, "required": ["a", "b"]}
                result = {"tools": [tool("ask", inputSchema=wanted)]}
            case "crowd":
                result = {"tools": [tool(f"t{i}") for i in range(1_000)]}
            case "results":
                count = {"type": "object", "properties": {"n": {"type": "integer"}}}
                result = {"tools": [tool("ask", outputSchema=count)]}
        self.say(id=number, result=result)

    def call(self, number: int, params: dict[str, Any]) -> None:
        match self.habit:
            case "refuse":
                self.say(id=number, error={"code": -32602, "message": "not on a Sunday"})
                return
            case "noise":
                print(2_000_000 * "\n", flush=True)
            case "asleep":
                time.sleep(600)
            case "grumble":
                for line in range(5_000):
                    print("grumble", line, file=sys.stderr)
            case "grow":
                self.tools.append(tool("more"))
                self.say(method="notifications/tools/list_changed")
            case "curious":
                self.say(id="q", method="elicitation/create", params={"message": "Who?"})
        self.say(id=number, result=self.result(params))

    def result(self, params: dict[str, Any]) -> dict[str, Any]:
        done: dict[str, Any] = {"content": [{"type": "text", "text": "done"}]}
        match self.habit:
            case "open":
                known = {"environment": dict(os.environ), "effect": params["_meta"]}
                done["structuredContent"] = known
            case "results":
                done["structuredContent"] = {"n": "three"}
            case "sorry":
                done["isError"] = True
            case "photo":
                done["content"] += [{"type": "image", "mimeType": "image/png", "data": "iVBORw=="}]
            case "flood":
                done["content"][0]["text"] = 10_000_000 * "x"
            case "nonsense":
                done["content"] = "nothing"
        return done


if __name__ == "__main__":
    Liar(*sys.argv[1:]).run()

"""Tools for tests, and somebody who calls them."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from talksy.tools import BASIC, Caller, ToolDefinition

ADA = Caller("call_1", "usr_ada", "ses_1")


class Plain:
    """A tool that does what it is made with, whatever it is given."""

    def __init__(
        self, run: Callable[[], Awaitable[Any]], name: str = "plain", **definition: Any
    ) -> None:
        self.definition = ToolDefinition(
            name, "Does something.", {"type": "object"}, **{"source": "tests", **definition}
        )
        self._run = run

    def check(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        return arguments

    def asks(self, _arguments: Mapping[str, Any]) -> bool:
        return False

    async def run(self, _arguments: Mapping[str, Any], _caller: Caller) -> Any:
        return await self._run()


def named(name: str, source: str = "tests", scope: str = BASIC, policy: str = "auto") -> Plain:
    """A tool that says its name."""

    async def say() -> str:
        return name

    return Plain(say, name, source=source, scope=scope, policy=policy)

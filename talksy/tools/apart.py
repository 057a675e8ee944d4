"""Tools that run in the sandbox: what the server knows of them, and the way there."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import pydantic
from pydantic import TypeAdapter

from talksy.tools.definition import Caller, ToolDefinition
from talksy.tools.faults import path_of, validation_error
from talksy.tools.function import FunctionTool, definition_fault
from talksy.tools.sandbox import Sandbox
from talksy.tools.schema import Checks, SchemaFault

_DEFINITION = TypeAdapter(ToolDefinition)


class SandboxedTool:
    """A function that is called in the sandbox."""

    def __init__(
        self,
        sandbox: Sandbox,
        tool: FunctionTool[..., Any],
        *,
        seconds: float,
    ) -> None:
        """``tool`` is a module's that is trusted; ``seconds`` is the usual time of a call."""
        self._sandbox = sandbox
        self._tool = tool
        self._seconds = seconds
        self.definition = tool.definition

    def check(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        return self._tool.check(arguments)

    def asks(self, arguments: Mapping[str, Any]) -> bool:
        return self._tool.asks(arguments)

    async def run(self, arguments: Mapping[str, Any], caller: Caller) -> Any:  # noqa: ARG002
        function = self._tool.function
        return await self._sandbox.call(
            function.__module__,
            function.__name__,
            arguments,
            seconds=seconds_of(self.definition, self._seconds),
        )


class DescribedTool:
    """A function of a module that is not trusted: the server has never imported it."""

    def __init__(
        self,
        sandbox: Sandbox,
        module: str,
        described: Mapping[str, Any],
        *,
        seconds: float,
    ) -> None:
        """``described`` is what the sandbox says of it. Raises ``ValueError``."""
        fields = {**described, "source": module, "sandboxed": True}
        self._function = str(fields.pop("function", ""))
        try:
            self.definition = _DEFINITION.validate_json(orjson.dumps(fields), strict=True)
            self._checks = Checks(self.definition.parameters)
            fault = definition_fault(self.definition)
        except pydantic.ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            fault = f"{path_of(first['loc'])}: {first['msg']}"
        except (SchemaFault, TypeError) as error:
            fault = str(error)
        if fault is not None:
            raise ValueError(f"the tool {self._function[:64]} cannot be used: {fault}")
        self._sandbox = sandbox
        self._module = module
        self._seconds = seconds
        properties = self.definition.parameters.get("properties", {})
        self._defaults = {
            name: part["default"] for name, part in properties.items() if "default" in part
        }

    def check(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        if faults := self._checks.faults(arguments):
            raise validation_error(faults)
        return {**self._defaults, **arguments}

    def asks(self, arguments: Mapping[str, Any]) -> bool:  # noqa: ARG002
        # Its own predicate is not believed: whoever has one asks always.
        return self.definition.policy == "ask"

    async def run(self, arguments: Mapping[str, Any], caller: Caller) -> Any:  # noqa: ARG002
        return await self._sandbox.call(
            self._module,
            self._function,
            arguments,
            seconds=seconds_of(self.definition, self._seconds),
        )


async def described_tools(
    sandbox: Sandbox, module: str, *, seconds: float
) -> Sequence[DescribedTool]:
    """The tools of a module that is not trusted. Raises ``ToolFailed``, ``ToolTimeout`` and
    ``ValueError``.
    """
    described = await sandbox.describe(module)
    if not described:
        raise ValueError("it has no tools: decorate a function with @tool")
    return [DescribedTool(sandbox, module, each, seconds=seconds) for each in described]


def seconds_of(definition: ToolDefinition, usual: float) -> float:
    """How long a call may take."""
    return usual if definition.timeout_ms is None else definition.timeout_ms / 1000

"""Tools made of functions."""

import inspect
import re
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, Generic, ParamSpec, TypeVar, get_args, overload

import structlog

from talksy.tools.definition import BASIC, Caller, Category, Policy, ToolDefinition
from talksy.tools.signature import BadTool, Signature, read_signature

log = structlog.get_logger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
SCOPE = re.compile(r"[a-z0-9:._-]{1,64}")
MAX_TIMEOUT_MS = 3_600_000

SANDBOXED: ContextVar[bool] = ContextVar("sandboxed", default=False)
"""Set in the sandbox itself: whatever is made a tool there is a sandboxed one."""

Asks = Callable[[Mapping[str, Any]], bool]
"""Whether a person must approve a call with these arguments, which are checked, as JSON has them
and with defaults filled in."""


class FunctionTool(Generic[P, R]):
    """A function as a tool; called, it is the function still."""

    def __init__(
        self,
        function: Callable[P, R],
        definition: ToolDefinition,
        signature: Signature,
        asks: Asks | None = None,
    ) -> None:
        self.function = function
        self.definition = definition
        self.signature = signature
        self.predicate = asks
        self.__doc__ = function.__doc__
        self.__name__ = definition.name

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    def check(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        return self.signature.check(arguments)

    def asks(self, arguments: Mapping[str, Any]) -> bool:
        if self.predicate is None or self.definition.policy != "ask":
            return self.definition.policy == "ask"
        try:
            return bool(self.predicate(arguments))
        except Exception as error:  # noqa: BLE001 - who cannot tell asks
            kind = type(error).__name__
            log.warning("tool_predicate_failed", tool=self.definition.name, error=kind)
            return True

    async def run(self, arguments: Mapping[str, Any], caller: Caller) -> Any:
        made: Any = self.function(**self.signature.bind(arguments, caller))  # type: ignore[call-arg]
        return await made


@overload
def tool(function: Callable[P, R], /) -> FunctionTool[P, R]: ...
@overload
def tool(
    *,
    name: str | None = None,
    category: Category = "custom",
    version: str = "1.0.0",
    timeout_ms: int | None = None,
    policy: Policy = "auto",
    asks: Asks | None = None,
    idempotent: bool = False,
    scope: str = BASIC,
    sandbox: bool = False,
    deprecated: str | None = None,
) -> Callable[[Callable[P, R]], FunctionTool[P, R]]: ...
def tool(
    function: Callable[P, R] | None = None,
    /,
    *,
    name: str | None = None,
    category: Category = "custom",
    version: str = "1.0.0",
    timeout_ms: int | None = None,
    policy: Policy = "auto",
    asks: Asks | None = None,
    idempotent: bool = False,
    scope: str = BASIC,
    sandbox: bool = False,
    deprecated: str | None = None,
) -> Any:
    """Makes a tool of a function: its docstring tells the model when to use it, its annotations are
    the schema of what it takes.

    What is not given is taken from the function. A parameter annotated ``Caller`` is told for whom
    it runs; one that ends in ``_`` is called without it, so that ``from_`` can be ``from``. A tool
    is an ``async def`` and runs in the server, or with ``sandbox=True`` a ``def`` and runs apart
    from it, with no network and no files. ``asks`` makes a person approve those calls for which it
    returns true; with ``policy="ask"`` all are. Raises ``BadTool``.
    """

    def make(function: Callable[P, R]) -> FunctionTool[P, R]:
        signature = read_signature(function)
        definition = ToolDefinition(
            name=function.__name__ if name is None else name,
            description=signature.description,
            parameters=signature.schema,
            category=category,
            version=version,
            timeout_ms=timeout_ms,
            policy="ask" if asks is not None and policy == "auto" else policy,
            idempotent=idempotent,
            scope=scope,
            sandboxed=sandbox or SANDBOXED.get(),
            deprecated=deprecated,
            source=function.__module__,
        )
        if fault := _fault(function, definition, signature):
            raise BadTool(f"{function.__module__}.{function.__qualname__}: {fault}")
        return FunctionTool(function, definition, signature, asks)

    return make if function is None else make(function)


def _fault(
    function: Callable[..., Any], definition: ToolDefinition, signature: Signature
) -> str | None:
    """What is to change before it can be a tool."""
    waits = inspect.iscoroutinefunction(function)
    if fault := definition_fault(definition):
        return fault
    if not definition.sandboxed and not waits:
        return "make it an async def, or say sandbox=True: a plain def would hold the server"
    if definition.sandboxed and waits:
        return "in the sandbox there is nothing to wait for: make it a plain def"
    if definition.sandboxed and signature.caller is not None:
        return "a sandboxed tool is not told for whom it runs: leave out the Caller"
    return None


def definition_fault(definition: ToolDefinition) -> str | None:
    """What is to change of a definition, wherever it comes from; None where all is well."""
    timeout = definition.timeout_ms
    if not NAME.fullmatch(definition.name):
        return "its name may have up to 64 letters, digits, _ and -, a letter first: give name="
    if definition.category not in get_args(Category):
        return f"category is one of {', '.join(get_args(Category))}"
    if definition.policy not in get_args(Policy):
        return f"policy is one of {', '.join(get_args(Policy))}"
    if not SCOPE.fullmatch(definition.scope):
        return "scope may have up to 64 of a-z, 0-9, :, ., _ and -"
    if timeout is not None and not 1 <= timeout <= MAX_TIMEOUT_MS:
        return f"timeout_ms is from 1 to {MAX_TIMEOUT_MS}"
    return None

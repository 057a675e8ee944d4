"""The MCP servers that an operator lists, read from the setting and checked as a whole."""

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

import pydantic
from pydantic import BaseModel, ConfigDict, Field, model_validator

from talksy.tools.definition import BASIC, Category, Policy

_NAME = re.compile(r"[A-Za-z](?:_?[A-Za-z0-9-])*")
NAME_CHARS = 24
"""So that forty are left for the names of the tools."""

Names = Annotated[tuple[str, ...], Field(max_length=1_000)]
TimeoutMs = Annotated[int, Field(ge=1, le=86_400_000)]
Scope = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9:._-]{0,63}$")]


class _Given(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ToolOptions(_Given):
    """What an operator says of one tool; None for what holds of its server."""

    policy: Policy | None = None
    scope: Scope | None = None
    timeout_ms: TimeoutMs | None = None
    idempotent: bool | None = None
    """None for what the server says."""


class McpServer(_Given):
    """A server that is started (``command``) or called (``url``).

    Whoever writes a server writes its descriptions, too: so a person is asked before each call,
    unless the operator says otherwise.
    """

    name: str
    command: str | None = Field(None, min_length=1)
    args: tuple[str, ...] = Field((), repr=False, strict=False)
    env: Mapping[str, str] = Field({}, repr=False)
    """All that the process gets beside ``PATH``."""
    cwd: Annotated[Path, Field(strict=False)] | None = None
    url: str | None = Field(None, repr=False)
    headers: Mapping[str, str] = Field({}, repr=False)
    timeout_ms: TimeoutMs | None = None
    """How long a call may take; None for the usual time."""
    policy: Policy = "ask"
    scope: Scope = BASIC
    category: Category = "custom"
    include: Annotated[Names, Field(strict=False)] = ("*",)
    """Patterns such as ``read_*`` of the tools to take, by the server's own names."""
    exclude: Annotated[Names, Field(strict=False)] = ()
    tools: Mapping[str, ToolOptions] = {}

    @property
    def source(self) -> str:
        """What is told of where its tools come from."""
        return f"mcp:{self.name}"

    def takes(self, tool: str) -> bool:
        """Whether the tool of that name is wanted."""
        return _among(tool, self.include) and not _among(tool, self.exclude)

    def options(self, tool: str) -> ToolOptions:
        """What is said of the tool of that name."""
        return self.tools.get(tool) or ToolOptions()

    @model_validator(mode="after")
    def _check_kind(self) -> Self:
        if not _NAME.fullmatch(self.name) or len(self.name) > NAME_CHARS:
            raise ValueError(
                f"its name is not 1 to {NAME_CHARS} letters, digits, - and single _, a letter first"
            )
        if (self.command is None) == (self.url is None):
            raise ValueError("give either a command to start or the url of one that runs")
        if self.url is None:
            if self.headers:
                raise ValueError("headers go with a url")
            return self
        if self.args or self.env or self.cwd:
            raise ValueError("args, env and cwd go with a command")
        url = urlsplit(self.url)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ValueError("its url does not begin with http:// or https:// and a host")
        if "@" in url.netloc:
            raise ValueError("its url holds a password: send it in headers")
        return self


def read_servers(given: Mapping[str, Mapping[str, Any]]) -> tuple[McpServer, ...]:
    """The servers by their names. Raises ``ValueError`` with all faults, without the values."""
    servers, faults = [], []
    for name, options in given.items():
        try:
            servers.append(McpServer.model_validate({**options, "name": name}))
        except pydantic.ValidationError as error:
            faults += [f"{name}: {fault}" for fault in _faults(error)]
    if faults:
        raise ValueError("; ".join(faults))
    return tuple(servers)


def _among(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _faults(error: pydantic.ValidationError) -> list[str]:
    said = []
    for fault in error.errors(include_url=False, include_input=False):
        path = ".".join(str(part) for part in fault["loc"])
        own = fault.get("ctx", {}).get("error")
        said.append(f"{path}: {fault['msg']}" if own is None else str(own))
    return said

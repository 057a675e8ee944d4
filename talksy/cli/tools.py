"""``talksy tools``: what is registered and from where, and a call from the terminal."""

import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from talksy.app import opened_tools, set_clock
from talksy.auth import email_key
from talksy.config import Settings
from talksy.database import Database
from talksy.database.accounts import Accounts
from talksy.errors import NotFound, ValidationError
from talksy.ids import new_id
from talksy.logs import setup_logs
from talksy.tools import Caller, Toolbox, ToolDefinition
from talksy.tools.builtin import BUILT_IN

SETTLE_SECONDS = 15.0
"""How long servers of tools may take to answer."""
OPERATOR = "operator"
"""For whom a call runs that is nobody's."""


async def tools(settings: Settings, *, as_json: bool) -> None:
    """Prints every tool there is."""
    async with _opened(settings) as (toolbox, _):
        found = toolbox.all()
    if as_json:
        json.dump([asdict(definition) for definition in found], sys.stdout)
        sys.stdout.write("\n")
    else:
        _show(found)


async def call(settings: Settings, name: str, parameters: str, *, email: str | None) -> bool:
    """Calls a tool for an account, or for nobody's, and prints what it returns; whether it could.

    Whoever calls from the terminal is who approves. Raises ``TalksyError`` for a call that cannot
    be made.
    """
    arguments = _read(parameters)
    async with _opened(settings) as (toolbox, database):
        user_id = OPERATOR if email is None else await _account(database, email)
        scopes = frozenset(definition.scope for definition in toolbox.all())
        tool = toolbox.find(name, scopes)
        checked = toolbox.check(tool, arguments)
        caller = Caller(new_id("call"), user_id, OPERATOR, scopes)
        result = await toolbox.run(tool, checked, caller)
    shown = result.result if result.error is None else result.error
    json.dump(shown, sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")
    return result.error is None


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[tuple[Toolbox, Database]]:
    """The tools as a server has them, those of MCP servers that answer among them."""
    setup_logs("warning", "text", sys.stderr)
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(Database.open(settings.database_url))
        clock = await set_clock(settings, database)
        toolbox = await stack.enter_async_context(
            opened_tools(settings, database, clock, settle=SETTLE_SECONDS)
        )
        yield toolbox, database


async def _account(database: Database, email: str) -> str:
    account = await Accounts(database).find(email_key(email))
    if account is None:
        raise NotFound("There is no account with this e-mail address.")
    return account.id


def _read(parameters: str) -> dict[str, Any]:
    try:
        read = json.loads(parameters)
    except ValueError as error:
        raise ValidationError(f"the parameters are no JSON: {error}") from error
    if not isinstance(read, dict):
        raise ValidationError('the parameters are no JSON object such as {"userId": "user-1"}')
    return read


def _show(found: Sequence[ToolDefinition]) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("name", no_wrap=True)
    for name in ("category", "policy", "scope", "runs in", "from"):
        table.add_column(name, overflow="fold")
    for each in found:
        built_in = each.source.startswith(BUILT_IN)
        table.add_row(
            f"{each.name} (deprecated)" if each.deprecated else each.name,
            each.category,
            each.policy,
            each.scope,
            "sandbox" if each.sandboxed else "server",
            "built in" if built_in else each.source,
        )
    Console().print(table)

"""``talksy usage``: what the models were asked for, day by day."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

from rich.console import Console
from rich.table import Table

from talksy.auth import email_key
from talksy.config import Settings
from talksy.database import Database
from talksy.database.accounts import Accounts
from talksy.database.usage import Usage, Used
from talksy.errors import NotFound


async def usage(settings: Settings, *, email: str | None, days: int, as_json: bool) -> None:
    """Prints the last ``days`` days (UTC), today included, of one account or of all.

    Raises ``NotFound`` for an address without an account.
    """
    today = datetime.now(UTC).date()
    span = (today - timedelta(days=days - 1)).isoformat(), today.isoformat()
    async with Database.open(settings.database_url) as database:
        if email is None:
            used = await Usage(database).all(*span)
        else:
            account = await Accounts(database).find(email_key(email))
            if account is None:
                raise NotFound("There is no account with this e-mail address.")
            used = await Usage(database).of(account.id, *span)
    if as_json:
        json.dump([asdict(row) for row in used], sys.stdout)
        sys.stdout.write("\n")
    else:
        _show(used)


def _show(used: Sequence[Used]) -> None:
    table = Table("day", "provider", "model", title_justify="left")
    for name in ("turns", "tokens read", "tokens written"):
        table.add_column(name, justify="right")
    for row in used:
        counts = (row.turns, row.input_tokens, row.output_tokens)
        table.add_row(row.day, row.provider, row.model, *(f"{count:,}" for count in counts))
    Console().print(table if used else "nothing was used")

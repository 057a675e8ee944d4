"""``talksy user scope``: what the tokens of an account allow."""

import re
from datetime import timedelta

from talksy.auth import email_key
from talksy.config import Settings
from talksy.database import Database
from talksy.database.accounts import Accounts
from talksy.errors import NotFound, ValidationError

SCOPE = re.compile(r"[a-z0-9:._-]{1,64}")


async def scopes(settings: Settings, email: str) -> str:
    """The scopes of an account, a line each. Raises ``NotFound``."""
    async with Database.open(settings.database_url) as database:
        account = await Accounts(database).find(email_key(email))
    if account is None:
        raise NotFound("There is no account with this e-mail address.")
    return "\n".join(account.scope.split())


async def change(settings: Settings, email: str, *, add: str = "", remove: str = "") -> str:
    """Gives an account a scope or takes one away, and says what it has then and from when on.

    Raises ``NotFound``, or ``ValidationError`` for what is no scope or is one too many.
    """
    if not SCOPE.fullmatch(add or remove):
        raise ValidationError("a scope has 1 to 64 of a-z, 0-9, :, ., _ and -")
    async with Database.open(settings.database_url) as database:
        scope = await Accounts(database).rescope(email_key(email), add=add, remove=remove)
    if scope is None:
        raise NotFound("There is no account with this e-mail address.")
    longest = timedelta(seconds=settings.jwt_access_expiry)
    return (
        f"{email} has {scope or 'no scopes'}\n"
        f"It counts from the next token on: at the next login or refresh, in {longest} at most."
    )

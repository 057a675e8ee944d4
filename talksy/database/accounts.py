"""Users, their token families and the refresh tokens in them."""

from dataclasses import dataclass
from typing import Literal

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    RowMapping,
    delete,
    exists,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from talksy.database.engine import Database, reads, writes
from talksy.database.tables import refresh_tokens, token_families, users
from talksy.errors import EmailTaken, ValidationError

BASIC = "tools:basic"
"""The scope that everybody has, unless it was taken away."""
SCOPE_CHARS = 1_000
"""So long an account's scopes may be together: every token has them."""
SWEEP_ROWS = 500
"""A sweep erases so many rows in one transaction: nobody waits long for it."""
SETTLED_MS = 60_000
"""No transaction that began before is still under way."""


@dataclass(frozen=True, slots=True)
class Account:
    """A user as it is kept."""

    id: str
    email: str
    """As its owner typed it."""
    email_key: str
    """The address folded to one case; no two accounts share one."""
    password_hash: str
    created_at: int
    """Milliseconds since the epoch."""
    scope: str = BASIC
    """What its tokens allow, as OAuth writes it: names with blanks between."""


@dataclass(frozen=True, slots=True)
class Family:
    """One login: what its refresh tokens descend from and what revocation ends."""

    id: str
    user_id: str
    created_at: int


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A refresh token as it is kept: a hash, never the token."""

    hash: str
    created_at: int
    expires_at: int


@dataclass(frozen=True, slots=True)
class Rotation:
    """What became of a presented refresh token.

    ``rotated``: this use was the first, the successor handed in is the one. ``shared``: used
    within the grace, ``sealed`` is the successor of the first use. ``replayed``: used after it;
    the family is revoked now.
    """

    outcome: Literal["rotated", "shared", "replayed"]
    family_id: str
    user_id: str
    scope: str
    """What the user's tokens allow now."""
    sealed: bytes | None = None


class Accounts:
    """What decides is decided by the database, so it holds for any number of nodes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @writes
    def register(
        self, connection: Connection, account: Account, family: Family, token: RefreshToken
    ) -> None:
        """Adds a user with a first login. Raises ``EmailTaken``; of parallel tries one wins."""
        try:
            connection.execute(
                insert(users).values(
                    id=account.id,
                    email=account.email,
                    email_key=account.email_key,
                    password_hash=account.password_hash,
                    scope=account.scope,
                    created_at=account.created_at,
                )
            )
        except IntegrityError:
            raise EmailTaken from None
        _open(connection, family, token)

    @writes
    def login(
        self, connection: Connection, family: Family, token: RefreshToken | None = None
    ) -> None:
        """Opens a family; without a token it can not be refreshed."""
        _open(connection, family, token)

    async def find(self, email_key: str) -> Account | None:
        """The account of an address in its folded form."""
        return await self._one(users.c.email_key == email_key)

    async def get(self, user_id: str) -> Account | None:
        return await self._one(users.c.id == user_id)

    async def owner(self, family_id: str) -> Account | None:
        """The account a family belongs to; None once the family is revoked."""
        alive = select(token_families.c.user_id).where(
            token_families.c.id == family_id, token_families.c.revoked_at.is_(None)
        )
        return await self._one(users.c.id == alive.scalar_subquery())

    @writes
    def rotate(
        self,
        connection: Connection,
        presented: str,
        successor: RefreshToken,
        sealed: bytes | None,
        *,
        now: int,
        grace_ms: int,
    ) -> Rotation | None:
        """Replaces the token with the hash ``presented``; the first to set ``used_at`` decides.

        ``sealed`` is what later uses within ``grace_ms`` are given. None for a token that is
        unknown, has run out or belongs to a revoked family. A second use after the grace
        revokes the family: OAuth 2.0 Security BCP (RFC 9700), 4.14.2.
        """
        first = connection.execute(
            update(refresh_tokens)
            .where(
                refresh_tokens.c.hash == presented,
                refresh_tokens.c.used_at.is_(None),
                refresh_tokens.c.expires_at > now,
                exists().where(
                    token_families.c.id == refresh_tokens.c.family_id,
                    token_families.c.revoked_at.is_(None),
                ),
            )
            .values(used_at=now, successor=sealed)
        )
        row = _token(connection, presented)
        if row is None:
            return None
        if first.rowcount:
            _add(connection, row["family_id"], successor)
            return _rotation("rotated", row)
        if row["revoked_at"] is not None or row["expires_at"] <= now:
            return None
        if now - row["used_at"] < grace_ms and row["successor"] is not None:
            return _rotation("shared", row, row["successor"])
        _revoke(connection, row["family_id"], now)
        return _rotation("replayed", row)

    @reads
    def successor(self, connection: Connection, presented: str) -> bytes | None:
        """What replaced the token with this hash, sealed; None while it can be used itself."""
        found = connection.execute(
            select(refresh_tokens.c.successor).where(refresh_tokens.c.hash == presented)
        )
        sealed: bytes | None = found.scalar_one_or_none()
        return sealed

    @writes
    def rehash(self, connection: Connection, user_id: str, former: str, hashed: str) -> bool:
        """Replaces the hash of a password, unless it is not ``former`` any more."""
        renewed = connection.execute(
            update(users)
            .where(users.c.id == user_id, users.c.password_hash == former)
            .values(password_hash=hashed)
        )
        return bool(renewed.rowcount)

    @writes
    def rescope(
        self, connection: Connection, email_key: str, *, add: str = "", remove: str = ""
    ) -> str | None:
        """Gives a scope to the account of an address, or takes one from it, and returns what it has
        then; tokens that were given out before keep theirs. None where there is no such account.

        Raises ``ValidationError`` where it comes to have too many.
        """
        its = users.c.email_key == email_key
        found = connection.execute(select(users.c.scope).where(its).with_for_update())
        former = found.scalar_one_or_none()
        if former is None:
            return None
        names = dict.fromkeys([*former.split(), *add.split()])
        names.pop(remove, None)
        scope = " ".join(names)
        if len(scope) > SCOPE_CHARS:
            raise ValidationError(
                f"the scopes of an account may have {SCOPE_CHARS} characters together: "
                "take one away first"
            )
        connection.execute(update(users).where(its).values(scope=scope))
        return scope

    @writes
    def revoke(self, connection: Connection, presented: str, *, now: int) -> str | None:
        """Revokes the family of the token with this hash, used or not, and names it.

        Doing it again changes nothing; None for an unknown token.
        """
        row = _token(connection, presented)
        if row is None:
            return None
        _revoke(connection, row["family_id"], now)
        return str(row["family_id"])

    @reads
    def revoked(self, connection: Connection, since: int) -> list[str]:
        """The families that were revoked after ``since``."""
        query = select(token_families.c.id).where(token_families.c.revoked_at > since)
        return [row.id for row in connection.execute(query)]

    async def sweep(self, *, now: int, grace_ms: int, access_ms: int) -> int:
        """Erases successors whose grace is over, tokens that have run out and families that no
        token can speak for any more; counts the tokens.

        ``access_ms`` is how long an access token lives: while there may be one, its family stays.
        A little at a time, so that nobody waits for it.
        """
        await self._forget_successors(now - grace_ms)
        settled = now - SETTLED_MS
        dead = token_families.c.revoked_at <= settled - access_ms
        of_dead = refresh_tokens.c.family_id.in_(select(token_families.c.id).where(dead))
        bare = ~exists().where(refresh_tokens.c.family_id == token_families.c.id)
        silent = token_families.c.created_at <= settled - access_ms
        await self._erase(refresh_tokens.c.hash, of_dead)
        await self._erase(token_families.c.id, bare, or_(dead, silent))
        return await self._erase(
            refresh_tokens.c.hash,
            refresh_tokens.c.expires_at <= now,
            refresh_tokens.c.created_at <= now - access_ms,
        )

    @writes
    def _forget_successors(self, connection: Connection, before: int) -> None:
        connection.execute(
            update(refresh_tokens)
            .where(refresh_tokens.c.successor.is_not(None), refresh_tokens.c.used_at <= before)
            .values(successor=None)
        )

    async def _erase(self, key: Column[str], *where: ColumnElement[bool]) -> int:
        """Deletes the rows of a table, some at a time; counts them."""
        erased = 0
        while gone := await self._erase_some(key, *where):
            erased += gone
            if gone < SWEEP_ROWS:
                break
        return erased

    @writes
    def _erase_some(
        self, connection: Connection, key: Column[str], *where: ColumnElement[bool]
    ) -> int:
        some = select(key).where(*where).limit(SWEEP_ROWS)
        return connection.execute(delete(key.table).where(key.in_(some))).rowcount

    @reads
    def _one(self, connection: Connection, condition: ColumnElement[bool]) -> Account | None:
        found = connection.execute(select(users).where(condition))
        row = found.mappings().one_or_none()
        return None if row is None else Account(**row)


def _open(connection: Connection, family: Family, token: RefreshToken | None) -> None:
    connection.execute(
        insert(token_families).values(
            id=family.id, user_id=family.user_id, created_at=family.created_at
        )
    )
    if token is not None:
        _add(connection, family.id, token)


def _add(connection: Connection, family_id: str, token: RefreshToken) -> None:
    connection.execute(
        insert(refresh_tokens).values(
            hash=token.hash,
            family_id=family_id,
            created_at=token.created_at,
            expires_at=token.expires_at,
        )
    )


def _token(connection: Connection, presented: str) -> RowMapping | None:
    found = connection.execute(
        select(
            refresh_tokens,
            token_families.c.user_id,
            token_families.c.revoked_at,
            users.c.scope,
        )
        .join(token_families, token_families.c.id == refresh_tokens.c.family_id)
        .join(users, users.c.id == token_families.c.user_id)
        .where(refresh_tokens.c.hash == presented)
    )
    return found.mappings().one_or_none()


def _rotation(
    outcome: Literal["rotated", "shared", "replayed"],
    row: RowMapping,
    sealed: bytes | None = None,
) -> Rotation:
    return Rotation(outcome, row["family_id"], row["user_id"], row["scope"], sealed)


def _revoke(connection: Connection, family_id: str, now: int) -> None:
    connection.execute(
        update(token_families)
        .where(token_families.c.id == family_id, token_families.c.revoked_at.is_(None))
        .values(revoked_at=now)
    )

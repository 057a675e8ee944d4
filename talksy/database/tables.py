"""The durable tables. Times are milliseconds since the epoch, ids the prefixed ones of ``ids``."""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    text,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeEngine

from talksy.messages import clean

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class Told(TypeDecorator[str]):
    """Text that is not ours, a model's or a vendor's: what no column can hold fails no write.

    It is cleaned of what PostgreSQL does not keep, and cut to its column's length.
    """

    impl: TypeEngine[str] | type[TypeEngine[str]] = String
    cache_ok = True

    def __init__(self, kind: String) -> None:
        super().__init__()
        self.impl = self.kind = kind

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else clean(value)[: self.kind.length]


users = Table(
    "users",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("email", String(254), nullable=False),
    # The address folded to one case: who registers first has it.
    Column("email_key", String(254), nullable=False, unique=True),
    Column("password_hash", String(72), nullable=False),
    # What its tokens allow beside talking, as OAuth writes it: names with blanks between.
    Column("scope", String(1000), nullable=False, server_default="tools:basic"),
    Column("created_at", BigInteger, nullable=False),
)

token_families = Table(
    "token_families",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("user_id", ForeignKey("users.id"), nullable=False, index=True),
    Column("created_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger, index=True),
)

refresh_tokens = Table(
    "refresh_tokens",
    metadata,
    # SHA-256 of the token: the token itself is nowhere kept.
    Column("hash", String(64), primary_key=True),
    Column("family_id", ForeignKey("token_families.id"), nullable=False, index=True),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("used_at", BigInteger),
    # The token that replaced this one, encrypted under a key that only this one gives.
    Column("successor", LargeBinary),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("user_id", String(40), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    # When it was created or last reopened: a session lives a day from here.
    Column("opened_at", BigInteger, nullable=False),
    Column("last_active_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger, index=True),
    Column("duration_seconds", Integer, nullable=False, server_default="0"),
    Index(
        "ix_sessions_open",
        "expires_at",
        sqlite_where=text("ended_at IS NULL"),
        postgresql_where=text("ended_at IS NULL"),
    ),
    # Who comes is counted: without a look at the thousands that a user has had.
    Index(
        "ix_sessions_user_open",
        "user_id",
        "expires_at",
        sqlite_where=text("ended_at IS NULL"),
        postgresql_where=text("ended_at IS NULL"),
    ),
)

messages = Table(
    "messages",
    metadata,
    # The id is the client's own where it gave one: sending it again starts nothing.
    Column("session_id", String(40), primary_key=True),
    Column("id", String(128), primary_key=True),
    # The order of the conversation; an answer stands at the position of its message.
    Column("position", Integer, nullable=False),
    Column("role", String(16), nullable=False),
    Column("content", Told(Text()), nullable=False),
    # What must be the same when the same id is sent again.
    Column("hash", String(64)),
    # 'queued' is the queue: not in history and in no context until its turn starts.
    Column("state", String(16), nullable=False),
    Column("streamed", Boolean, nullable=False, server_default=text("false")),
    Column("turn_id", String(40), nullable=False),
    Column("reply_to", String(128)),
    # What the token that sent a question allows.
    Column("scope", String(1000)),
    Column("interrupted", Boolean, nullable=False, server_default=text("false")),
    # Of a question, which model is asked for; of an answer, which one gave it.
    Column("provider", Told(String(64))),
    Column("model", Told(String(128))),
    Column("usage", JSON(none_as_null=True)),
    Column("created_at", BigInteger, nullable=False),
    Index("ix_messages_order", "session_id", "position"),
    Index(
        "ix_messages_queue",
        "session_id",
        "position",
        sqlite_where=text("state = 'queued'"),
        postgresql_where=text("state = 'queued'"),
    ),
)

turns = Table(
    "turns",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("session_id", String(40), nullable=False),
    Column("message_id", String(128), nullable=False),
    # The node that writes the turn, and how often it changed hands.
    Column("owner", String(64), nullable=False),
    Column("fence", Integer, nullable=False, server_default="1"),
    # 'running', 'parked' (it waits for a person, and nobody writes it), or how it ended.
    Column("status", String(16), nullable=False),
    # Its writer died: whoever owns it now gives it its ending, and no more.
    Column("taken", Boolean, nullable=False, server_default=text("false")),
    Column("scope", String(1000)),
    Column("streamed", Boolean, nullable=False),
    Column("attempt", Integer, nullable=False, server_default="1"),
    # Counts the turns of a session from 1, in the order in which they began.
    Column("ordinal", Integer, nullable=False, server_default="0"),
    # The ending that somebody asks of the node that writes it.
    Column("wanted", String(16)),
    # The turn in which the same message was tried again.
    Column("next_turn_id", String(40)),
    # What was given so far (a checkpoint) or in the end.
    Column("text", Told(Text()), nullable=False, server_default=""),
    Column("events", Integer, nullable=False, server_default="0"),
    Column("chunks", Integer, nullable=False, server_default="0"),
    Column("provider", Told(String(64))),
    Column("model", Told(String(128))),
    Column("usage", JSON(none_as_null=True)),
    Column("error", JSON(none_as_null=True)),
    Column("degraded", Boolean, nullable=False, server_default=text("false")),
    Column("created_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    # The lane: one turn a session that has not ended.
    Index(
        "uq_turns_lane",
        "session_id",
        unique=True,
        sqlite_where=text("status IN ('running', 'parked')"),
        postgresql_where=text("status IN ('running', 'parked')"),
    ),
    Index("ix_turns_order", "session_id", "ordinal"),
    Index("ix_turns_message", "session_id", "message_id"),
    Index("ix_turns_created_at", "created_at"),
)

parked_turns = Table(
    "parked_turns",
    metadata,
    Column("turn_id", String(40), primary_key=True),
    # When the first of its calls is not waited for any more.
    Column("expires_at", BigInteger, nullable=False, index=True),
    # All that another node needs to go on with it.
    Column("state", LargeBinary, nullable=False),
)

tool_calls = Table(
    "tool_calls",
    metadata,
    # The tool is told it, too: under this key it has its effect once. Where a client chose an id,
    # it stands behind that of its session and a slash.
    Column("id", String(200), primary_key=True),
    # The turn that asked for it; none where a client did.
    Column("turn_id", String(40), index=True),
    Column("session_id", String(40), nullable=False, index=True),
    # The node that makes it; none before that.
    Column("owner", String(64)),
    Column("tool", String(128), nullable=False),
    Column("arguments", LargeBinary, nullable=False),
    # It may run a second time without harm.
    Column("idempotent", Boolean, nullable=False),
    # 'waiting' for a person, who 'approved' it; 'running'; or how it ended.
    Column("status", String(16), nullable=False),
    Column("created_at", BigInteger, nullable=False, index=True),
    Column("expires_at", BigInteger),
)

facts = Table(
    "facts",
    metadata,
    Column("user_id", String(40), primary_key=True),
    Column("id", String(40), primary_key=True),
    Column("content", Told(Text()), nullable=False),
    # The session in which it was said.
    Column("source", String(40), nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

voice_profiles = Table(
    "voice_profiles",
    metadata,
    Column("user_id", String(40), primary_key=True),
    Column("name", String(64), primary_key=True),
    # What the user said of it, as JSON; the rest is its base's.
    Column("data", JSON, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)

nodes = Table(
    "nodes",
    metadata,
    # The name of the machine, and what tells its processes apart.
    Column("id", String(64), primary_key=True),
    Column("host", Told(String(255)), nullable=False),
    # By the clock of the database, the only one leases are compared with.
    Column("alive_until", BigInteger, nullable=False),
)

presence = Table(
    "presence",
    metadata,
    # Which node has how many sockets of a session: it counts as long as the node's lease.
    Column("session_id", String(40), primary_key=True),
    Column("node_id", String(64), primary_key=True, index=True),
    Column("user_id", String(40), nullable=False, index=True),
    Column("sockets", Integer, nullable=False),
)

usage_days = Table(
    "usage_days",
    metadata,
    Column("user_id", String(40), primary_key=True),
    # As ISO 8601 writes it, UTC.
    Column("day", String(10), primary_key=True, index=True),
    Column("provider", Told(String(64)), primary_key=True),
    Column("model", Told(String(128)), primary_key=True),
    Column("turns", BigInteger, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
)

known_logins = Table(
    "known_logins",
    metadata,
    # HMAC-SHA-256 of an account's address and the one it was logged in to from.
    Column("digest", String(64), primary_key=True),
    Column("seen_at", BigInteger, nullable=False, index=True),
)

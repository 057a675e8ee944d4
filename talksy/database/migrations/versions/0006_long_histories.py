"""Indexes for what is open, waits or is asked for: what was before it costs nothing any more."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

OPEN = "ended_at IS NULL"
QUEUED = "state = 'queued'"


def upgrade() -> None:
    op.create_index(
        "ix_sessions_user_open",
        "sessions",
        ["user_id", "expires_at"],
        sqlite_where=sa.text(OPEN),
        postgresql_where=sa.text(OPEN),
    )
    op.drop_index("ix_sessions_user_id", table_name="sessions")
    op.create_index("ix_turns_message", "turns", ["session_id", "message_id"])
    op.drop_index("ix_turns_session_id", table_name="turns")
    _queue("session_id", "position")


def _queue(*columns: str) -> None:
    op.drop_index("ix_messages_queue", table_name="messages")
    op.create_index(
        "ix_messages_queue",
        "messages",
        columns,
        sqlite_where=sa.text(QUEUED),
        postgresql_where=sa.text(QUEUED),
    )


def downgrade() -> None:
    _queue("session_id")
    op.create_index("ix_turns_session_id", "turns", ["session_id"])
    op.drop_index("ix_turns_message", table_name="turns")
    op.create_index("ix_sessions_user_id", "sessions", ["user_id"])
    op.drop_index("ix_sessions_user_open", table_name="sessions")

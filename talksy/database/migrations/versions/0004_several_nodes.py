"""Nodes that share a database: their leases, and what they have to know of each other."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "nodes",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("alive_until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_nodes")),
    )
    op.create_table(
        "presence",
        sa.Column("session_id", sa.String(length=40), nullable=False),
        sa.Column("node_id", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.String(length=40), nullable=False),
        sa.Column("sockets", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("session_id", "node_id", name=op.f("pk_presence")),
    )
    op.create_index(op.f("ix_presence_node_id"), "presence", ["node_id"], unique=False)
    op.create_index(op.f("ix_presence_user_id"), "presence", ["user_id"], unique=False)
    op.add_column("turns", sa.Column("ordinal", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("turns", sa.Column("wanted", sa.String(length=16)))
    op.add_column("turns", sa.Column("next_turn_id", sa.String(length=40)))
    op.execute(
        "UPDATE turns SET ordinal = (SELECT count(*) FROM turns AS t "
        "WHERE t.session_id = turns.session_id AND (t.created_at < turns.created_at "
        "OR (t.created_at = turns.created_at AND t.id <= turns.id)))"
    )
    op.create_index("ix_turns_order", "turns", ["session_id", "ordinal"], unique=False)
    op.create_index(op.f("ix_turns_created_at"), "turns", ["created_at"], unique=False)
    op.create_index(
        "ix_messages_queue",
        "messages",
        ["session_id"],
        unique=False,
        sqlite_where=sa.text("state = 'queued'"),
        postgresql_where=sa.text("state = 'queued'"),
    )
    op.create_index(
        op.f("ix_token_families_revoked_at"), "token_families", ["revoked_at"], unique=False
    )
    op.create_index(op.f("ix_sessions_ended_at"), "sessions", ["ended_at"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_sessions_ended_at"), table_name="sessions")
    op.drop_index(op.f("ix_token_families_revoked_at"), table_name="token_families")
    op.drop_index("ix_messages_queue", table_name="messages")
    op.drop_index(op.f("ix_turns_created_at"), table_name="turns")
    op.drop_index("ix_turns_order", table_name="turns")
    op.drop_column("turns", "next_turn_id")
    op.drop_column("turns", "wanted")
    op.drop_column("turns", "ordinal")
    op.drop_index(op.f("ix_presence_user_id"), table_name="presence")
    op.drop_index(op.f("ix_presence_node_id"), table_name="presence")
    op.drop_table("presence")
    op.drop_table("nodes")

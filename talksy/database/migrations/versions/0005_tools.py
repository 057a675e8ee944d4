"""Tools: who may use which, the calls and how they ended, turns that wait for a person, facts."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

LANE = "status IN ('running', 'parked')"


def upgrade() -> None:
    op.add_column(
        "users",
        sa.Column("scope", sa.String(length=1000), nullable=False, server_default="tools:basic"),
    )
    op.add_column("messages", sa.Column("scope", sa.String(length=1000)))
    op.add_column("turns", sa.Column("scope", sa.String(length=1000)))
    op.add_column(
        "turns", sa.Column("taken", sa.Boolean(), nullable=False, server_default=sa.text("false"))
    )
    op.drop_index("uq_turns_lane", table_name="turns")
    op.create_index(
        "uq_turns_lane",
        "turns",
        ["session_id"],
        unique=True,
        sqlite_where=sa.text(LANE),
        postgresql_where=sa.text(LANE),
    )
    op.create_table(
        "parked_turns",
        sa.Column("turn_id", sa.String(length=40), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("turn_id", name=op.f("pk_parked_turns")),
    )
    op.create_index(op.f("ix_parked_turns_expires_at"), "parked_turns", ["expires_at"])
    op.create_table(
        "tool_calls",
        sa.Column("id", sa.String(length=200), nullable=False),
        sa.Column("turn_id", sa.String(length=40)),
        sa.Column("session_id", sa.String(length=40), nullable=False),
        sa.Column("owner", sa.String(length=64)),
        sa.Column("tool", sa.String(length=128), nullable=False),
        sa.Column("arguments", sa.LargeBinary(), nullable=False),
        sa.Column("idempotent", sa.Boolean(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tool_calls")),
    )
    op.create_index(op.f("ix_tool_calls_turn_id"), "tool_calls", ["turn_id"])
    op.create_index(op.f("ix_tool_calls_session_id"), "tool_calls", ["session_id"])
    op.create_index(op.f("ix_tool_calls_created_at"), "tool_calls", ["created_at"])
    op.create_table(
        "facts",
        sa.Column("user_id", sa.String(length=40), nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("source", sa.String(length=40), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "id", name=op.f("pk_facts")),
    )
    op.create_table(
        "voice_profiles",
        sa.Column("user_id", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "name", name=op.f("pk_voice_profiles")),
    )


def downgrade() -> None:
    op.drop_table("voice_profiles")
    op.drop_table("facts")
    op.drop_table("tool_calls")
    op.drop_table("parked_turns")
    op.drop_index("uq_turns_lane", table_name="turns")
    op.create_index(
        "uq_turns_lane",
        "turns",
        ["session_id"],
        unique=True,
        sqlite_where=sa.text("status = 'running'"),
        postgresql_where=sa.text("status = 'running'"),
    )
    op.drop_column("turns", "taken")
    op.drop_column("turns", "scope")
    op.drop_column("messages", "scope")
    op.drop_column("users", "scope")

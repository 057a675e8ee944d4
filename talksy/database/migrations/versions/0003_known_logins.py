"""Where accounts were logged in to before."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "known_logins",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_known_logins")),
    )
    op.create_index(op.f("ix_known_logins_seen_at"), "known_logins", ["seen_at"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_known_logins_seen_at"), table_name="known_logins")
    op.drop_table("known_logins")

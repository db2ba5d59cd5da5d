"""How many rows were rejected in the current block of rows: the brake counts on after a restart."""

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.execute(
        "ALTER TABLE stream_offsets ADD COLUMN rejected_in_block bigint NOT NULL DEFAULT 0"
        " CHECK (rejected_in_block >= 0)"
    )


def downgrade() -> None:
    op.execute("ALTER TABLE stream_offsets DROP COLUMN rejected_in_block")

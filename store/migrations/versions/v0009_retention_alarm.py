"""The warning that unread messages of a partition near the end of their retention."""

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.execute("ALTER TABLE stream_offsets ADD COLUMN retention_alarm text")


def downgrade() -> None:
    op.execute("ALTER TABLE stream_offsets DROP COLUMN retention_alarm")

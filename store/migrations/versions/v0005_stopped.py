"""Why a partition was stopped, for the operator."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.execute("ALTER TABLE stream_offsets ADD COLUMN stopped text")


def downgrade() -> None:
    op.execute("ALTER TABLE stream_offsets DROP COLUMN stopped")

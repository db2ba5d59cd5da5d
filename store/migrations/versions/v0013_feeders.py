"""Every feeder of a partition has its own event time."""

from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.execute(
        """
        ALTER TABLE stream_offsets RENAME COLUMN max_event_time TO event_time;
        -- Those that are not idle: [name, latest event time, append time of the last message], in milliseconds.
        ALTER TABLE stream_offsets ADD COLUMN feeders jsonb NOT NULL DEFAULT '[]';
        """
    )


def downgrade() -> None:
    op.execute(
        """
        ALTER TABLE stream_offsets DROP COLUMN feeders;
        ALTER TABLE stream_offsets RENAME COLUMN event_time TO max_event_time;
        """
    )

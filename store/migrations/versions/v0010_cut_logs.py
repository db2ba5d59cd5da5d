"""Logs that were cut short: where that was found, and which dead letters are of messages that were lost with it."""

from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.execute(
        """
        -- Where the log ended when it was found to be cut short, until an operator accepts that.
        ALTER TABLE stream_offsets ADD COLUMN cut_end bigint CHECK (cut_end >= 0);
        -- 0, or the number of the cut that lost the message: other messages may have its offset since.
        ALTER TABLE dead_letters ADD COLUMN log_cut integer NOT NULL DEFAULT 0, DROP CONSTRAINT dead_letters_pkey,
            ADD PRIMARY KEY (topic, partition, log_cut, "offset", row);
        """
    )


def downgrade() -> None:
    op.execute(
        """
        DELETE FROM dead_letters WHERE log_cut > 0;
        ALTER TABLE dead_letters DROP CONSTRAINT dead_letters_pkey, DROP COLUMN log_cut,
            ADD PRIMARY KEY (topic, partition, "offset", row);
        ALTER TABLE stream_offsets DROP COLUMN cut_end;
        """
    )

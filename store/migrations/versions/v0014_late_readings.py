"""Where the readings of a window lie that came after it had closed."""

from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.execute(
        """
        -- For corrections (R13). A row is dropped once the partition's event time has reached "until", in milliseconds.
        CREATE TABLE late_readings (
            topic        text NOT NULL REFERENCES stream_topics,
            partition    integer NOT NULL,
            metric       text NOT NULL,
            window_start timestamptz NOT NULL,
            window_end   timestamptz NOT NULL,
            until        bigint NOT NULL,
            first_offset bigint NOT NULL,
            last_offset  bigint NOT NULL,
            readings     bigint NOT NULL CHECK (readings > 0),
            PRIMARY KEY (topic, partition, metric, window_start),
            CHECK (first_offset <= last_offset)
        );
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE late_readings")

"""What live sources delivered and the log has: the same content is sent once."""

from alembic import op

revision = "0036"
down_revision = "0035"

TABLE = """
CREATE TABLE arrivals (
    source      text NOT NULL,
    checksum    bytea NOT NULL CHECK (length(checksum) = 32),
    name        text NOT NULL,
    received_at timestamptz NOT NULL,
    done_at     timestamptz NOT NULL DEFAULT now(),
    refused     bigint NOT NULL CHECK (refused >= 0),
    words       text NOT NULL,
    PRIMARY KEY (source, checksum)
);
"""


def upgrade() -> None:
    op.execute(TABLE)


def downgrade() -> None:
    op.execute("DROP TABLE arrivals")

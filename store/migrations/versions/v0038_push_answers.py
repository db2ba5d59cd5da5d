"""What senders were answered under their idempotency keys: a request that comes again gets the same answer."""

from alembic import op

revision = "0038"
down_revision = "0037"

TABLE = """
CREATE TABLE push_answers (
    source      text NOT NULL,
    key         text NOT NULL,
    body        bytea NOT NULL CHECK (length(body) = 32),
    refused     text NOT NULL,
    count       bigint NOT NULL CHECK (count >= 0),
    answered_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (source, key)
);
CREATE INDEX push_answers_by_time ON push_answers (source, answered_at);
"""


def upgrade() -> None:
    op.execute(TABLE)


def downgrade() -> None:
    op.execute("DROP TABLE push_answers")

"""Later topics of a dataset, with more partitions, and the time from which each takes the readings."""

from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE stream_generations (
            dataset    text NOT NULL,
            generation integer NOT NULL CHECK (generation > 1),
            begins_at  timestamptz NOT NULL,
            partitions integer NOT NULL CHECK (partitions > 0),
            made_at    timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (dataset, generation),
            UNIQUE (dataset, begins_at)
        )
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE stream_generations")

"""Detectors with which a dataset's pictures were processed, with their measured precision and recall."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE detectors (
            dataset            text NOT NULL,
            name               text NOT NULL,
            version            text NOT NULL,
            precision_measured double precision NOT NULL CHECK (precision_measured BETWEEN 0 AND 1),
            recall_measured    double precision NOT NULL CHECK (recall_measured BETWEEN 0 AND 1),
            since              timestamptz NOT NULL,  -- when the earliest picture that it processed was taken
            PRIMARY KEY (dataset, name, version)
        )
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE detectors")

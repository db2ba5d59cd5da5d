"""Reading a metric's sources in pieces, and reading only what has changed since."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.execute(
        """
        -- Sources never change, except their ends: each change of one is an entry, so that a reader can follow them.
        CREATE TABLE source_changes (
            change bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            source bigint NOT NULL REFERENCES sources
        );
        CREATE INDEX sources_metric_number_idx ON sources (metric, number);
        DROP INDEX sources_metric_district_class_idx;
        """
    )


def downgrade() -> None:
    op.execute(
        """
        CREATE INDEX sources_metric_district_class_idx ON sources (metric, district, class);
        DROP INDEX sources_metric_number_idx;
        DROP TABLE source_changes;
        """
    )

"""Publishing in slots: since when a metric is published, kinds of entries, and the bytes that a ledger vouches for."""

from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    op.execute(
        """
        -- The first window of a metric that is published begins then, and so does every later one in its slot (R12).
        CREATE TABLE publishing (
            metric text PRIMARY KEY,
            begins timestamptz NOT NULL
        );
        -- What was published so far was not published in slots; the lattice begins where it ends.
        INSERT INTO publishing
            SELECT metric, max(window_end) FROM publications WHERE topic !~ '[.]history[.]' GROUP BY metric;

        -- published_at is the slot, left_at the moment; checked_at the last fixed time at which an incomplete window
        -- was looked at again. entry is the line of the ledger, body the bytes that it has the hash of (none if lost).
        ALTER TABLE publications
            ADD COLUMN kind text NOT NULL DEFAULT 'publication'
                CHECK (kind IN ('publication', 'correction', 'withdrawal', 'skip', 'lost')),
            ADD COLUMN whole boolean NOT NULL DEFAULT true,
            ADD COLUMN left_at timestamptz,
            ADD COLUMN checked_at timestamptz,
            ADD COLUMN entry bytea,
            ADD COLUMN body bytea,
            ALTER COLUMN published_at DROP DEFAULT,
            DROP CONSTRAINT publications_metric_window_start_revision_key;
        UPDATE publications SET left_at = published_at;
        ALTER TABLE publications ALTER COLUMN left_at SET NOT NULL, ALTER COLUMN kind DROP DEFAULT,
            ALTER COLUMN whole DROP DEFAULT;
        CREATE UNIQUE INDEX publications_window_revision ON publications (metric, window_start, revision)
            WHERE kind NOT IN ('skip', 'withdrawal');
        CREATE INDEX publications_not_whole ON publications (metric, window_start) WHERE NOT whole;

        ALTER TABLE published_cells DROP CONSTRAINT published_cells_status_check, ADD CHECK (
            status IN ('released', 'suppressed', 'incomplete', 'withdrawn'));

        ALTER TABLE partner_publications ADD COLUMN kind text NOT NULL DEFAULT 'publication';

        -- Whether a ledger of this log was ever begun.
        ALTER TABLE publication_log ADD COLUMN ledger boolean NOT NULL DEFAULT false;
        -- A publication between its decision and its entry in the ledger, so that a crash there changes nothing of it.
        CREATE TABLE publication_drafts (
            position bigint PRIMARY KEY,
            topic    text NOT NULL,
            left_at  timestamptz NOT NULL,
            entry    bytea NOT NULL,
            body     bytea NOT NULL
        );
        """
    )


def downgrade() -> None:
    raise RuntimeError("an older version would publish windows again; restore the database instead")

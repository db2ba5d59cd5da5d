"""What late readings make of a window, step by step, and which of it was released."""

from alembic import op

revision = "0019"
down_revision = "0017"


def upgrade() -> None:
    op.execute(
        """
        -- One row for each step at which a window of a partition was read again (R13): its rows below "bound".
        CREATE TABLE corrections (
            topic        text NOT NULL,
            partition    integer NOT NULL,
            metric       text NOT NULL,
            window_start timestamptz NOT NULL,
            step         integer NOT NULL CHECK (step > 0),
            window_end   timestamptz NOT NULL,
            bound        bigint NOT NULL,
            outcome      text NOT NULL CHECK (outcome IN ('corrected', 'unchanged', 'gone', 'differs')),
            decided      boolean NOT NULL DEFAULT false,  -- the publisher has decided what of it leaves
            made_at      timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (topic, partition, metric, window_start, step),
            FOREIGN KEY (topic, partition) REFERENCES stream_offsets
        );
        CREATE INDEX corrections_undecided_idx ON corrections (topic, metric, window_start)
            WHERE outcome = 'corrected' AND NOT decided;
        CREATE INDEX corrections_end_idx ON corrections (metric, window_end);
        -- The cells that changed at a step, as they were then.
        CREATE TABLE corrected_cells (
            topic        text NOT NULL,
            partition    integer NOT NULL,
            metric       text NOT NULL,
            window_start timestamptz NOT NULL,
            step         integer NOT NULL,
            area         integer NOT NULL,
            class        text NOT NULL,
            incomplete   boolean NOT NULL,
            value        bigint NOT NULL,
            readings     bigint NOT NULL,
            contributors bigint NOT NULL,
            largest      bigint NOT NULL,
            absolute     bigint NOT NULL,
            covered_ms   bigint NOT NULL,
            first_offset bigint NOT NULL,
            last_offset  bigint NOT NULL,
            PRIMARY KEY (topic, partition, metric, window_start, step, area, class),
            FOREIGN KEY (topic, partition, metric, window_start, step) REFERENCES corrections ON DELETE CASCADE
        );
        -- How far a changed cell is from what it was at an earlier step, "since"; 0 is the cell itself.
        CREATE TABLE corrected_changes (
            topic        text NOT NULL,
            partition    integer NOT NULL,
            metric       text NOT NULL,
            window_start timestamptz NOT NULL,
            step         integer NOT NULL,
            area         integer NOT NULL,
            class        text NOT NULL,
            since        integer NOT NULL CHECK (since < step),
            value        bigint NOT NULL,
            readings     bigint NOT NULL,
            contributors bigint NOT NULL,
            largest      bigint NOT NULL,
            absolute     bigint NOT NULL,
            covered_ms   bigint NOT NULL,
            first_offset bigint NOT NULL,
            last_offset  bigint NOT NULL,
            PRIMARY KEY (topic, partition, metric, window_start, step, area, class, since),
            FOREIGN KEY (topic, partition, metric, window_start, step, area, class)
                REFERENCES corrected_cells ON DELETE CASCADE
        );
        -- The steps whose content of a cell was released; step 0 is not stored.
        CREATE TABLE released_steps (
            metric       text NOT NULL,
            window_start timestamptz NOT NULL,
            window_end   timestamptz NOT NULL,
            area         integer NOT NULL,
            class        text NOT NULL,
            step         integer NOT NULL,
            PRIMARY KEY (metric, window_start, area, class, step)
        );
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE released_steps, corrected_changes, corrected_cells, corrections")

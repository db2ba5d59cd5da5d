"""Which cells are open for a month, what that was decided from, and which have closed since."""

from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    op.execute(
        """
        -- A decision holds for the windows that begin at begins <= time < ends, until a later decision does (P5). times
        -- are the opening times by class: hours of the day, days of the week, or 0. Never changed once it is kept.
        CREATE TABLE standing_decisions (
            decision       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            metric         text NOT NULL,
            month_start    timestamptz NOT NULL,
            begins         timestamptz NOT NULL,
            ends           timestamptz NOT NULL,
            basis          text NOT NULL CHECK (basis IN ('register', 'measurement')),
            measured_from  timestamptz NOT NULL,
            measured_until timestamptz NOT NULL,
            windows        integer NOT NULL,
            times          jsonb NOT NULL,
            decided_at     timestamptz NOT NULL DEFAULT now(),
            decided_by     text NOT NULL DEFAULT session_user,
            UNIQUE (metric, begins),
            CHECK (month_start <= begins AND begins < ends)
        );
        -- Every cell that there is in the period: in how many measured windows of the opening times it passed its rule,
        -- and how many contributors are registered, where that decided.
        CREATE TABLE standing_cells (
            decision   bigint NOT NULL REFERENCES standing_decisions,
            area       integer NOT NULL REFERENCES areas,
            class      text NOT NULL,
            open       boolean NOT NULL,
            passed     integer NOT NULL,
            measured   integer NOT NULL,
            registered bigint,
            PRIMARY KEY (decision, area, class)
        );
        -- An open cell that failed its rule in a window is closed from that window to the end of the month.
        CREATE TABLE standing_closures (
            metric       text NOT NULL,
            month_start  timestamptz NOT NULL,
            area         integer NOT NULL REFERENCES areas,
            class        text NOT NULL,
            window_start timestamptz NOT NULL,
            window_end   timestamptz NOT NULL,
            closed_at    timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (metric, month_start, area, class)
        );
        -- What a city measured before its streams began. Decisions are made from it; it is never published.
        CREATE TABLE measured_cells (
            metric       text NOT NULL,
            window_start timestamptz NOT NULL,
            window_end   timestamptz NOT NULL,
            area         integer NOT NULL REFERENCES areas,
            class        text NOT NULL,
            value        bigint NOT NULL,
            readings     bigint NOT NULL,
            contributors bigint NOT NULL,
            largest      bigint NOT NULL,
            absolute     bigint NOT NULL,
            covered_ms   bigint NOT NULL,
            PRIMARY KEY (metric, window_start, area, class)
        );
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE measured_cells, standing_closures, standing_cells, standing_decisions")

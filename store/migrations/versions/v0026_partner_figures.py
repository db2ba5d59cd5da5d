"""Partners' names, metrics, areas and totals of windows in columns: comparing cities parses no catalogue."""

from alembic import op

revision = "0026"
down_revision = "0025"


def upgrade() -> None:
    op.execute(
        """
        ALTER TABLE partners ADD COLUMN name text NOT NULL DEFAULT '', ADD COLUMN names jsonb NOT NULL DEFAULT '{}';
        UPDATE partners SET name = catalog -> 'city' ->> 'name', names = catalog -> 'city' -> 'names';
        CREATE TABLE partner_metrics (
            city              text NOT NULL REFERENCES partners ON DELETE CASCADE,
            metric            text NOT NULL,
            unit              text NOT NULL,
            smallest_unit     text NOT NULL,
            smallest_per_unit bigint NOT NULL,
            kind              text NOT NULL,
            "window"          text NOT NULL,
            PRIMARY KEY (city, metric)
        );
        CREATE TABLE partner_areas (
            city       text NOT NULL REFERENCES partners ON DELETE CASCADE,
            metric     text NOT NULL,
            area       integer NOT NULL,
            name       text NOT NULL,
            population bigint NOT NULL,
            PRIMARY KEY (city, metric, area)
        );
        -- One class of the newest revision of one window, summed over its areas.
        CREATE TABLE partner_totals (
            city                text NOT NULL REFERENCES partners ON DELETE CASCADE,
            metric              text NOT NULL,
            class               text NOT NULL,
            window_start        timestamptz NOT NULL,
            window_end          timestamptz NOT NULL,
            value               numeric NOT NULL,
            released            integer NOT NULL,
            cells               integer NOT NULL,
            released_population numeric NOT NULL,
            population          numeric NOT NULL,
            weighted            numeric NOT NULL,
            withdrawn           integer NOT NULL,
            PRIMARY KEY (city, metric, window_start, class)
        );
        CREATE INDEX partner_totals_by_end ON partner_totals (city, metric, window_end);

        INSERT INTO partner_metrics
            SELECT city, metric.*
            FROM partners CROSS JOIN jsonb_to_recordset(catalog -> 'metrics') AS metric
                (name text, unit text, smallest_unit text, smallest_per_unit bigint, kind text, "window" text);
        INSERT INTO partner_areas
            SELECT city, metric ->> 'name', area.*
            FROM partners CROSS JOIN jsonb_array_elements(catalog -> 'metrics') AS metric
            CROSS JOIN jsonb_to_recordset(metric -> 'areas') AS area (number integer, name text, population bigint);
        INSERT INTO partner_totals
            SELECT city, metric, class, window_start, newest.window_end,
                   coalesce(sum(value), 0), count(value), count(*),
                   coalesce(sum(population) FILTER (WHERE value IS NOT NULL), 0), coalesce(sum(population), 0),
                   coalesce(sum(value::numeric * population), 0), count(*) FILTER (WHERE status = 'withdrawn')
            FROM (
                SELECT DISTINCT ON (city, metric, window_start) city, metric, window_start, window_end, revision
                FROM partner_publications WHERE kind <> 'skip'
                ORDER BY city, metric, window_start, revision DESC
            ) AS newest
            JOIN partner_cells USING (city, metric, window_start, revision)
            LEFT JOIN partner_areas USING (city, metric, area)
            GROUP BY city, metric, class, window_start, newest.window_end;
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE partner_totals, partner_areas, partner_metrics")
    op.execute("ALTER TABLE partners DROP COLUMN name, DROP COLUMN names")

"""What was published exactly is rounded, as everything that leaves is now (P2)."""

from alembic import op

revision = "0024"
down_revision = "0023"

# The bases of the catalogue as they are at this version; the rounding is that of federation.disclosure.precision. The
# largest number of steps from zero is 10,000, and with a base of 5 it is 2,000.
ROUND = """
CREATE FUNCTION pg_temp.rounded(value bigint, base bigint, most bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    step bigint := base;
    steps numeric;
    rest numeric;
BEGIN
    LOOP
        steps := floor(value::numeric / step);
        rest := value - steps * step;
        IF 2 * rest > step OR (2 * rest = step AND steps % 2 <> 0) THEN
            steps := steps + 1;
        END IF;
        EXIT WHEN abs(steps) <= most;
        step := step * 10;
    END LOOP;
    RETURN steps * step;
END $$;
UPDATE published_cells SET value = pg_temp.rounded(value, base, most) FROM publications, (VALUES
    ('energy.import', 360000000, 10000), ('energy.solar', 360000000, 10000), ('waste.fill', 100, 10000),
    ('waste.collected', 10000, 10000), ('waste.tonnage', 100000, 10000), ('traffic.passes', 5, 2000)
) AS bases (metric, base, most)
WHERE publications.position = published_cells.position AND bases.metric = publications.metric AND value IS NOT NULL
"""


def upgrade() -> None:
    op.execute(ROUND)


def downgrade() -> None:
    raise RuntimeError("the exact values that were published are gone; they are in `cells`")

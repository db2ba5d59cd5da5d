"""Areas that loads of the register drew for a later quarter, unchecked, are taken back: `areas redraw` draws them."""

from alembic import op

revision = "0023"
down_revision = "0022"

# Fifteen minutes: readings may be ahead of the clock, and processes know areas before they begin. Areas stay if a
# source is in a district that only they contain: it could not be looked up without them.
TAKE_BACK = """
CREATE TEMPORARY TABLE taken_back ON COMMIT DROP AS
SELECT later.version FROM area_versions later
WHERE valid_from > now() + interval '15 minutes'
  AND EXISTS (SELECT FROM area_versions WHERE metric = later.metric AND valid_from <= now())
  AND NOT EXISTS (
    SELECT FROM sources WHERE metric = later.metric AND coalesce(valid_to, 'infinity') > now()
    AND district NOT IN (
        SELECT district FROM area_districts JOIN areas ON area = number WHERE version = (
            SELECT version FROM area_versions WHERE metric = later.metric AND valid_from <= now()
            ORDER BY valid_from DESC LIMIT 1)));
DELETE FROM area_districts WHERE area IN (SELECT number FROM areas JOIN taken_back USING (version));
DELETE FROM areas WHERE version IN (SELECT version FROM taken_back);
DELETE FROM area_versions WHERE version IN (SELECT version FROM taken_back);
DROP TABLE taken_back;
"""


def upgrade() -> None:
    op.execute(TAKE_BACK)


def downgrade() -> None:
    pass  # what was taken back was never used

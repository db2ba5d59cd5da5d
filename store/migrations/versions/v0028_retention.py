"""How long what a partner gave may be kept, and the ends of bodies' windows, by which they are erased."""

from alembic import op

revision = "0028"
down_revision = "0027"


def upgrade() -> None:
    op.execute(
        """
        ALTER TABLE grants ADD COLUMN retention_days integer;
        UPDATE grants SET retention_days = (terms ->> 'retention_days')::integer
            FROM agreements CROSS JOIN LATERAL (
                SELECT translate(convert_from(document, 'UTF8')::json ->> 'payload', '-_', '+/') AS payload) AS signed
            CROSS JOIN LATERAL json_array_elements(convert_from(
                decode(rpad(payload, (length(payload) + 3) / 4 * 4, '='), 'base64'), 'UTF8')::json -> 'grants') AS terms
            WHERE agreement = id AND grants.version = agreements.version
              AND (direction = 'received') = (terms ->> 'from' = city);
        ALTER TABLE grants ALTER COLUMN retention_days SET NOT NULL;

        ALTER TABLE partner_bodies ADD COLUMN window_end timestamptz;
        UPDATE partner_bodies SET window_end = entry.window_end FROM partner_entries AS entry
            WHERE (entry.thumbprint, entry.metric, entry.sequence)
                = (partner_bodies.thumbprint, partner_bodies.metric, partner_bodies.sequence);
        ALTER TABLE partner_bodies ALTER COLUMN window_end SET NOT NULL;
        CREATE INDEX partner_bodies_end ON partner_bodies (thumbprint, metric, window_end);

        -- For how long what was received of a metric is kept after its window's end: as the version in force says (of
        -- several agreements the longest), and when none is in force, as the one says that began last.
        CREATE VIEW kept_metrics AS
            SELECT DISTINCT ON (agreements.partner, metric) agreements.partner AS thumbprint, agreements.city, metric,
                   retention_days * interval '24 hours' AS retention
            FROM agreements
            JOIN grants ON agreement = agreements.id AND grants.version = agreements.version AND direction = 'received'
            LEFT JOIN agreements_in_force AS held ON held.id = agreements.id AND held.version = agreements.version
            WHERE agreements.valid_from <= now()
            ORDER BY agreements.partner, metric, held.id IS NULL,
                     CASE WHEN held.id IS NOT NULL THEN retention_days END DESC,
                     agreements.valid_from DESC, retention_days;
        """
    )


def downgrade() -> None:
    raise RuntimeError("an older version would keep what is to be erased; restore the database instead")

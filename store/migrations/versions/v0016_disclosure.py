"""What may leave, and how exactly: net amounts of zero do not count, and coverage is one of three bands."""

from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.execute(
        """
        -- Cells that exist counted everyone who reported. That many at least have an amount that is not zero, because
        -- none has more than the largest; in a mean of states (waste.fill) everyone who reported still counts.
        UPDATE cells SET contributors = least(contributors, CASE WHEN largest = 0 THEN 0
            ELSE (absolute + largest - 1) / largest END)
        WHERE metric <> 'waste.fill';
        ALTER TABLE published_cells ALTER COLUMN coverage TYPE text USING
            CASE WHEN coverage >= 90 THEN 'high' WHEN coverage >= 50 THEN 'medium' WHEN coverage >= 0 THEN 'low' END;
        ALTER TABLE published_cells ADD CHECK (coverage IN ('high', 'medium', 'low'));
        ALTER TABLE partner_cells ALTER COLUMN coverage TYPE text USING
            CASE WHEN coverage >= 90 THEN 'high' WHEN coverage >= 50 THEN 'medium' WHEN coverage >= 0 THEN 'low' END;
        -- traffic.density is traffic.occupancy now, with hours for windows. What was open has lost its beginning; what
        -- was published of it, and of traffic.regions, showed single cars, and goes to nobody any more.
        UPDATE stream_offsets SET lost = lost + open, open = 0, resume_offset = next_offset,
            incomplete_before = 253402300800000
        WHERE topic LIKE '%.traffic.plate-regions.%' AND (open > 0 OR resume_offset < next_offset)
            AND EXISTS (SELECT FROM sources WHERE metric = 'traffic.density');
        UPDATE sources SET metric = 'traffic.occupancy' WHERE metric = 'traffic.density';
        UPDATE area_versions SET metric = 'traffic.occupancy' WHERE metric = 'traffic.density';
        DELETE FROM late_readings WHERE metric = 'traffic.density';
        DELETE FROM published_cells USING publications WHERE publications.position = published_cells.position
            AND metric IN ('traffic.density', 'traffic.regions');
        DELETE FROM publications WHERE metric IN ('traffic.density', 'traffic.regions');
        DELETE FROM publication_sequences WHERE metric IN ('traffic.density', 'traffic.regions');
        """
    )


def downgrade() -> None:
    raise RuntimeError("how many contributors reported zero is not known; restore a backup instead")

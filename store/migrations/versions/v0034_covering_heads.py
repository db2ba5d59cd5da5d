"""Which head covers what is stored of a partner's metric: others of its city may be refused, and have newer heads."""

from alembic import op

revision = "0034"
down_revision = "0033"


def upgrade() -> None:
    op.execute(
        """
        -- The hash of the head's payload; null where it is not known.
        ALTER TABLE entry_ends ADD COLUMN head text;
        UPDATE entry_ends AS ended SET head = (
            SELECT hash FROM partner_heads AS known
            WHERE known.thumbprint = ended.thumbprint AND seen_by = known.thumbprint ORDER BY number DESC LIMIT 1)
        WHERE covered AND NOT EXISTS (
            SELECT FROM contradictions AS told
            WHERE told.thumbprint = ended.thumbprint AND told.metric IN ('', ended.metric));
        """
    )


def downgrade() -> None:
    op.execute("ALTER TABLE entry_ends DROP COLUMN head")

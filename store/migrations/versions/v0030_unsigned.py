"""What partners' unsigned publications had needed, which nobody reads any more."""

from alembic import op

revision = "0030"
down_revision = "0029"


def upgrade() -> None:
    op.execute(
        """
        ALTER TABLE partners DROP COLUMN url, DROP COLUMN log_id, DROP COLUMN cursor, DROP COLUMN catalog;
        ALTER TABLE partner_publications DROP COLUMN log_id;
        """
    )


def downgrade() -> None:
    raise RuntimeError("what was dropped is gone; restore the database instead")

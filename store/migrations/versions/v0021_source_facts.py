"""Facts of sources (power, depth), and contributors that are the same as others."""

from alembic import op

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    op.execute(
        """
        -- What the register knows of a source, in the unit of its metric: watts of power, millimetres of depth.
        ALTER TABLE sources ADD COLUMN fact bigint CHECK (fact BETWEEN 1 AND 4294967295);
        -- Another spelling of this contributor, which its sources have now. No foreign key: a load that rebuilds the
        -- indices drops the primary key for a while.
        ALTER TABLE contributors ADD COLUMN same_as bigint;
        """
    )


def downgrade() -> None:
    op.execute("ALTER TABLE contributors DROP COLUMN same_as; ALTER TABLE sources DROP COLUMN fact")

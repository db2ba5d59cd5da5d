"""Whether what is stored of a partner's metric is covered by a head of its own whose key counts."""

from alembic import op

revision = "0033"
down_revision = "0032"


def upgrade() -> None:
    op.execute("ALTER TABLE entry_ends ADD COLUMN covered boolean NOT NULL DEFAULT true")


def downgrade() -> None:
    op.execute("ALTER TABLE entry_ends DROP COLUMN covered")

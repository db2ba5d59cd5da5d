"""Dead letters are found by their age, so that old ones can be removed."""

from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.execute("CREATE INDEX dead_letters_at_idx ON dead_letters (at)")


def downgrade() -> None:
    op.execute("DROP INDEX dead_letters_at_idx")

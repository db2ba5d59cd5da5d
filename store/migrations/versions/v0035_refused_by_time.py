"""What ingest refused is removed by its age."""

from alembic import op

revision = "0035"
down_revision = "0034"


def upgrade() -> None:
    op.execute("CREATE INDEX source_dead_letters_at ON source_dead_letters (at)")


def downgrade() -> None:
    op.execute("DROP INDEX source_dead_letters_at")

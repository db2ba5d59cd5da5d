"""How large the database was on each day of the last month."""

from alembic import op

revision = "0032"
down_revision = "0031"


def upgrade() -> None:
    op.execute("CREATE TABLE database_sizes (day date PRIMARY KEY, at timestamptz NOT NULL, bytes bigint NOT NULL)")


def downgrade() -> None:
    op.execute("DROP TABLE database_sizes")

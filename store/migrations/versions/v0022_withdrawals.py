"""Why a publication was withdrawn, in words, here and as partners say it."""

from alembic import op

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    op.execute(
        """
        ALTER TABLE publications ADD COLUMN reason text,
            ADD CHECK ((reason IS NULL) = (kind <> 'withdrawal'));
        ALTER TABLE partner_publications ADD COLUMN reason text;
        """
    )


def downgrade() -> None:
    raise RuntimeError("an older version would show what was withdrawn as if it were suppressed")

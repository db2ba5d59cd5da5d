"""Where the audit chains begin, now that old lines are removed; and assertions by their age."""

from alembic import op

revision = "0031"
down_revision = "0030"


def upgrade() -> None:
    op.execute(
        """
        -- The last line of each chain that was removed: its sequence and its SHA-256, which the next line names.
        CREATE TABLE audit_checkpoints (
            agreement  text PRIMARY KEY,
            sequence   bigint NOT NULL,
            hash       text NOT NULL,
            removed_at timestamptz NOT NULL DEFAULT now()
        );
        CREATE INDEX assertions_received ON assertions (received_at);
        """
    )


def downgrade() -> None:
    raise RuntimeError("lines were removed, and an older version would take the chains for broken")

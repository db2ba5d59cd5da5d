"""The outcome of every camera's pictures, by hour."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE camera_pictures (
            camera      bigint NOT NULL,  -- the register's number
            hour        timestamptz NOT NULL,
            expected    bigint NOT NULL,
            seen        bigint NOT NULL,
            undecodable bigint NOT NULL,
            stale       bigint NOT NULL,
            missing     bigint NOT NULL,
            PRIMARY KEY (camera, hour),
            CHECK (expected = seen + undecodable + stale + missing)
        )
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE camera_pictures")

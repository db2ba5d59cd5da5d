"""What a page of bodies is made of, found in one pass: which may be read, and which are still waited for."""

from alembic import op

revision = "0037"
down_revision = "0036"

VIEW = """
-- A body is named by its hash, which is that of its bytes; one from before hashes were kept, by its place.
-- `readable`: as in agreed_bodies, with its bytes. `awaited`: not due yet; a page ends before the first of these.
CREATE VIEW agreed_pages AS
    SELECT agreement, metric, sequence, octet_length(body) AS size, coalesce(body_hash, position::text) AS name,
           body IS NOT NULL AND due AND (window_start >= since OR kind = 'withdrawal') AS readable,
           window_start >= since AND NOT due AS awaited
    FROM agreed_publications;
"""


def upgrade() -> None:
    op.execute(VIEW)


def downgrade() -> None:
    op.execute("DROP VIEW agreed_pages")

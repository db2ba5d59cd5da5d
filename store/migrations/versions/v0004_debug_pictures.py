"""Every debug picture that was made: who made it, when, of which camera, and why. Entries are only ever added."""

from alembic import op

revision = "0004"
down_revision = "0003"

TABLE = """
CREATE TABLE debug_pictures (
    number        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    made_at       timestamptz NOT NULL,
    database_user text NOT NULL,
    os_user       text NOT NULL CHECK (os_user <> ''),
    camera        bigint NOT NULL REFERENCES sources,
    taken_at      timestamptz NOT NULL,  -- when the camera took the picture
    reason        text NOT NULL CHECK (reason ~ '[^[:space:]]'),
    sha256        bytea NOT NULL CHECK (octet_length(sha256) = 32),  -- of the file
    regions       integer NOT NULL CHECK (regions >= 0)  -- how many were blurred
)
"""
# PostgreSQL sets user and time, whatever the client writes there.
STAMPED = """
CREATE FUNCTION debug_pictures_stamped() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.made_at := clock_timestamp();
    NEW.database_user := session_user;
    RETURN NEW;
END $$;
CREATE TRIGGER stamped BEFORE INSERT ON debug_pictures FOR EACH ROW EXECUTE FUNCTION debug_pictures_stamped();
"""
# The table's owner can drop the trigger; it prevents changes by mistake.
KEPT = """
CREATE FUNCTION debug_pictures_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'entries of debug_pictures are never changed or removed';
END $$;
CREATE TRIGGER kept BEFORE UPDATE OR DELETE OR TRUNCATE ON debug_pictures
FOR EACH STATEMENT EXECUTE FUNCTION debug_pictures_kept();
"""


def upgrade() -> None:
    for part in (TABLE, STAMPED, KEPT):
        op.execute(part)


def downgrade() -> None:
    op.execute("DROP TABLE debug_pictures")
    op.execute("DROP FUNCTION debug_pictures_stamped, debug_pictures_kept")

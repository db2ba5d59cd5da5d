"""How many dead letters and refused readings there are by reason, so that a view of them reads no table of letters."""

from alembic import op

revision = "0007"
down_revision = "0006"

TABLES = """
-- All that there ever were, also those that were pruned since.
CREATE TABLE dead_letter_counts (
    topic     text NOT NULL,
    partition integer NOT NULL,
    reason    text NOT NULL,
    letters   bigint NOT NULL CHECK (letters >= 0),
    PRIMARY KEY (topic, partition, reason)
);
CREATE TABLE source_dead_letter_counts (
    origin  text NOT NULL,
    reason  text NOT NULL,
    letters bigint NOT NULL CHECK (letters >= 0),
    PRIMARY KEY (origin, reason)
);
INSERT INTO dead_letter_counts SELECT topic, partition, reason, count(*) FROM dead_letters GROUP BY 1, 2, 3;
INSERT INTO source_dead_letter_counts SELECT origin, reason, count(*) FROM source_dead_letters GROUP BY 1, 2;
"""
# The counts move in the transaction of the letters, whoever writes these. One order, so that two writers do not wait
# for each other.
TRIGGERS = """
CREATE FUNCTION dead_letters_counted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO dead_letter_counts AS known
        SELECT topic, partition, reason, count(*) FROM added GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
        ON CONFLICT (topic, partition, reason) DO UPDATE SET letters = known.letters + excluded.letters;
    RETURN NULL;
END $$;
CREATE TRIGGER counted AFTER INSERT ON dead_letters REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION dead_letters_counted();

CREATE FUNCTION source_dead_letters_counted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO source_dead_letter_counts AS known
        SELECT origin, reason, count(*) FROM added GROUP BY 1, 2 ORDER BY 1, 2
        ON CONFLICT (origin, reason) DO UPDATE SET letters = known.letters + excluded.letters;
    RETURN NULL;
END $$;
CREATE TRIGGER counted AFTER INSERT ON source_dead_letters REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION source_dead_letters_counted();
"""


def upgrade() -> None:
    for part in (TABLES, TRIGGERS):
        op.execute(part)


def downgrade() -> None:
    op.execute("DROP TRIGGER counted ON dead_letters")
    op.execute("DROP TRIGGER counted ON source_dead_letters")
    op.execute("DROP FUNCTION dead_letters_counted, source_dead_letters_counted")
    op.execute("DROP TABLE dead_letter_counts, source_dead_letter_counts")

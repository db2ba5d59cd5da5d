"""How far dead letters were copied to Kafka. Within a partition, their numbers follow the order of the commits."""

from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.execute(
        """
        ALTER TABLE dead_letters ADD COLUMN number bigint GENERATED ALWAYS AS IDENTITY;
        CREATE UNIQUE INDEX dead_letters_number_idx ON dead_letters (topic, partition, number);
        CREATE TABLE dead_letter_relays (
            topic     text NOT NULL,
            partition integer NOT NULL,
            number    bigint NOT NULL,  -- all up to this one were acknowledged
            PRIMARY KEY (topic, partition)
        );
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE dead_letter_relays; ALTER TABLE dead_letters DROP COLUMN number")

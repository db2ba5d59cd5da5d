"""What operators decided about contradictions and about bodies that are refused, with what the decision removed."""

from alembic import op

revision = "0029"
down_revision = "0028"


def upgrade() -> None:
    op.execute(
        """
        -- A city may contradict itself again after an operator has settled it: each contradiction stays. `chosen` is
        -- what was settled: 'kept' goes on from what is stored, 'replaced' reads the metric anew. `settled_number` is
        -- the highest head of the city that was known then: older heads of the other story prove nothing new.
        ALTER TABLE contradictions
            DROP CONSTRAINT contradictions_pkey,
            ADD COLUMN id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            ADD COLUMN chosen text CHECK (chosen IN ('kept', 'replaced')),
            ADD COLUMN settled_at timestamptz,
            ADD COLUMN settled_by text,
            ADD COLUMN settled_why text,
            ADD COLUMN settled_number bigint;
        CREATE UNIQUE INDEX contradictions_open ON contradictions (thumbprint, metric) WHERE settled_at IS NULL;
        -- The entries that 'replaced' removed: with `first`, the head that covers them, they prove what was said.
        CREATE TABLE replaced_entries (
            contradiction bigint NOT NULL REFERENCES contradictions,
            metric        text NOT NULL,
            sequence      bigint NOT NULL,
            line          bytea NOT NULL,
            PRIMARY KEY (contradiction, metric, sequence)
        );
        -- Bodies that are refused whenever they come, and are passed over.
        CREATE TABLE skipped_bodies (
            thumbprint text NOT NULL,
            metric     text NOT NULL,
            sequence   bigint NOT NULL,
            skipped_by text NOT NULL,
            why        text NOT NULL,
            skipped_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (thumbprint, metric, sequence)
        );
        """
    )


def downgrade() -> None:
    raise RuntimeError("an older version knows one contradiction of a metric; restore the database instead")

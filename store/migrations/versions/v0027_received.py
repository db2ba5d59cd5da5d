"""What partners sent, as they sent it: entries, bodies, catalogues, heads; and what contradicts itself."""

from alembic import op

revision = "0027"
down_revision = "0026"


def upgrade() -> None:
    op.execute(
        """
        -- `thumbprint` is always that of the identity whose word it is.
        CREATE TABLE partner_entries (
            thumbprint   text NOT NULL,
            metric       text NOT NULL,
            sequence     bigint NOT NULL,
            hash         text NOT NULL,
            line         bytea NOT NULL,
            kind         text NOT NULL,
            window_start timestamptz NOT NULL,
            window_end   timestamptz NOT NULL,
            revision     integer NOT NULL,
            published_at timestamptz NOT NULL,
            body         text NOT NULL,
            catalogue    text NOT NULL,
            received_at  timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (thumbprint, metric, sequence)
        );
        CREATE INDEX partner_entries_body ON partner_entries (body);
        CREATE INDEX partner_entries_window ON partner_entries (thumbprint, metric, window_start);
        -- The newest entry of each metric.
        CREATE TABLE entry_ends (
            thumbprint text NOT NULL,
            metric     text NOT NULL,
            sequence   bigint NOT NULL,
            hash       text NOT NULL,
            PRIMARY KEY (thumbprint, metric)
        );
        -- None where a body was not due, was withdrawn, or was not given.
        CREATE TABLE partner_bodies (
            thumbprint  text NOT NULL,
            metric      text NOT NULL,
            sequence    bigint NOT NULL,
            hash        text NOT NULL,
            body        bytea NOT NULL,
            received_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (thumbprint, metric, sequence),
            FOREIGN KEY (thumbprint, metric, sequence) REFERENCES partner_entries
        );
        CREATE INDEX partner_bodies_hash ON partner_bodies (hash);

        -- Definitions of metrics by their hash; what is compared by them is in partner_metrics and partner_areas.
        CREATE TABLE partner_catalogues (
            hash        text PRIMARY KEY,
            metric      text NOT NULL,
            content     bytea NOT NULL,
            received_at timestamptz NOT NULL DEFAULT now()
        );

        -- Heads that were seen, our own among them; `seen_by` is the identity that showed it.
        CREATE TABLE partner_heads (
            thumbprint text NOT NULL,
            number     bigint NOT NULL,
            hash       text NOT NULL,
            seen_by    text NOT NULL,
            document   text NOT NULL,
            log        text NOT NULL,
            issued_at  timestamptz NOT NULL,
            expires_at timestamptz NOT NULL,
            seen_at    timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (thumbprint, number, hash)
        );

        -- Two signed pieces that can't both be true; `lines` are the entries that lead from where the stories part to
        -- the hashes of the second head. An empty metric is the whole city.
        CREATE TABLE contradictions (
            thumbprint text NOT NULL,
            metric     text NOT NULL,
            reason     text NOT NULL,
            sequence   bigint,
            first      text NOT NULL,
            second     text NOT NULL,
            lines      bytea NOT NULL DEFAULT '',
            seen_by    text NOT NULL,
            found_at   timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (thumbprint, metric)
        );

        -- How far each agreement was read. `metrics` and `since` are those that were asked for: more of them, or an
        -- earlier one, and it is read from its beginning.
        CREATE TABLE entry_cursors (
            agreement text PRIMARY KEY,
            cursor    text,
            metrics   text[] NOT NULL
        );
        CREATE TABLE body_cursors (
            agreement text NOT NULL,
            metric    text NOT NULL,
            after     bigint NOT NULL,
            since     timestamptz NOT NULL,
            PRIMARY KEY (agreement, metric)
        );

        -- The outcome of the last pull; an empty metric is the part before any metric. `reason` and `detail` are null
        -- after a pull that went well. `fresh_until`: later than that, what was received is stale.
        CREATE TABLE pulls (
            agreement     text NOT NULL,
            metric        text NOT NULL,
            thumbprint    text NOT NULL,
            attempted_at  timestamptz NOT NULL,
            succeeded_at  timestamptz,
            fresh_until   timestamptz,
            failing_since timestamptz,
            reason        text,
            detail        text,
            PRIMARY KEY (agreement, metric)
        );
        -- The head of the partner's audit of an agreement, as its answers show it.
        CREATE TABLE partner_audits (
            agreement text NOT NULL,
            sequence  bigint NOT NULL,
            hash      text NOT NULL,
            seen_at   timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (agreement, sequence, hash)
        );

        -- Facts of the city as JSON, its zone among them. `thumbprint` is null for who was pulled by its address.
        ALTER TABLE partners
            ADD COLUMN thumbprint text UNIQUE, ADD COLUMN facts jsonb,
            ALTER COLUMN url DROP NOT NULL, ALTER COLUMN log_id DROP NOT NULL, ALTER COLUMN catalog DROP NOT NULL;
        ALTER TABLE partner_metrics ADD COLUMN catalogue text;
        ALTER TABLE partner_publications ALTER COLUMN log_id DROP NOT NULL;
        -- Cells are only written together with their publication: to check each one again is most of the work.
        ALTER TABLE partner_cells DROP CONSTRAINT partner_cells_city_metric_window_start_revision_fkey;

        -- What a partner may read of what others sent: the heads that this city has seen, and its own bodies back.
        CREATE VIEW witnessed_heads AS
            SELECT held.id AS agreement, thumbprint, number, seen.document, seen_at
            FROM agreements_in_force AS held CROSS JOIN partner_heads AS seen WHERE witness;
        CREATE VIEW returned_bodies AS
            SELECT held.id AS agreement, metric, sequence, sent.hash, body
            FROM agreements_in_force AS held JOIN partner_bodies AS sent ON thumbprint = partner;
        """
    )


def downgrade() -> None:
    raise RuntimeError("an older version would take what nobody has signed; restore the database instead")

"""Identities, agreements, what partners may read, access and audit, signed heads, and catalogues by their hash."""

from alembic import op

revision = "0025"
down_revision = "0024"


def upgrade() -> None:
    op.execute(
        """
        -- The newest identity document of each city, by the thumbprint of its identity key; one of them is our own.
        CREATE TABLE identities (
            thumbprint  text PRIMARY KEY,
            city        text NOT NULL,
            own         boolean NOT NULL DEFAULT false,
            version     integer NOT NULL,
            document    text NOT NULL,
            expires_at  timestamptz NOT NULL,
            received_at timestamptz NOT NULL DEFAULT now()
        );
        CREATE UNIQUE INDEX identities_own ON identities (own) WHERE own;
        CREATE TABLE identity_revocations (
            thumbprint  text PRIMARY KEY,
            statement   text NOT NULL,
            received_at timestamptz NOT NULL DEFAULT now()
        );

        -- Every version of every agreement, as both cities signed it. `own` and `partner` are thumbprints, `city` is
        -- the partner; `hash` is the SHA-256 of what was signed; `addresses` are those that the operator has allowed.
        CREATE TABLE agreements (
            id                  text NOT NULL,
            version             integer NOT NULL,
            own                 text NOT NULL,
            partner             text NOT NULL CHECK (partner <> own),
            city                text NOT NULL,
            document            bytea NOT NULL,
            hash                text NOT NULL,
            addresses           text[] NOT NULL,
            valid_from          timestamptz NOT NULL,
            valid_until         timestamptz NOT NULL,
            witness             boolean NOT NULL,
            requests_per_minute integer NOT NULL,
            bytes_per_hour      bigint NOT NULL,
            concurrent_requests integer NOT NULL,
            installed_at        timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (id, version)
        );
        CREATE TABLE agreement_revocations (
            id         text PRIMARY KEY,
            reason     text NOT NULL,
            revoked_at timestamptz NOT NULL DEFAULT now()
        );
        CREATE TABLE grants (
            agreement text NOT NULL,
            version   integer NOT NULL,
            direction text NOT NULL CHECK (direction IN ('given', 'received')),
            metric    text NOT NULL,
            since     timestamptz NOT NULL,
            delay     interval NOT NULL,
            PRIMARY KEY (agreement, version, direction, metric),
            FOREIGN KEY (agreement, version) REFERENCES agreements
        );

        -- A version holds from its time on until a later one does, which may end earlier: never the old one again.
        CREATE VIEW agreements_in_force AS
            SELECT * FROM agreements
            WHERE valid_from <= now() AND now() < valid_until
              AND NOT EXISTS (
                SELECT FROM agreements AS later
                WHERE later.id = agreements.id AND later.version > agreements.version AND later.valid_from <= now())
              AND NOT EXISTS (SELECT FROM agreement_revocations AS revoked WHERE revoked.id = agreements.id)
              AND NOT EXISTS (SELECT FROM identity_revocations WHERE thumbprint IN (own, partner));

        -- What any partner may read, and the only way to it: every read of a partner passes through these views, but
        -- for agreed_publications, which they share.
        ALTER TABLE publications ADD COLUMN body_hash text;
        -- Also of bodies that were erased or lost: who asks for one is told so.
        UPDATE publications SET body_hash = convert_from(entry, 'UTF8')::json ->> 'body' WHERE entry IS NOT NULL;
        CREATE INDEX publications_body_hash ON publications (body_hash);
        CREATE INDEX publications_metric_position ON publications (metric, position);
        CREATE INDEX publications_metric_window ON publications (metric, window_start, sequence);
        CREATE VIEW agreed_metrics AS
            SELECT agreement, metric, since, delay
            FROM agreements_in_force AS held
            JOIN grants ON agreement = held.id AND grants.version = held.version AND direction = 'given';
        CREATE VIEW agreed_publications AS
            SELECT agreement, since, delay, kind = 'withdrawal' OR published_at + delay <= now() AS due, publications.*
            FROM agreed_metrics JOIN publications USING (metric)
            WHERE entry IS NOT NULL;
        CREATE VIEW agreed_entries AS
            SELECT agreement, position, metric, sequence, window_start, window_end, revision, published_at, kind,
                   reason, entry, since, delay, due
            FROM agreed_publications;
        -- Without a body where it was withdrawn or lost.
        CREATE VIEW agreed_bodies AS
            SELECT agreement, position, metric, sequence, window_start, window_end, revision, published_at, kind,
                   reason, entry, since, delay, body, body_hash
            FROM agreed_publications
            WHERE due AND (window_start >= since OR kind = 'withdrawal');
        CREATE VIEW agreed_cells AS
            SELECT agreement, published_cells.* FROM agreed_bodies JOIN published_cells USING (position);

        -- Access. Tokens are kept by their SHA-256; assertions beyond their time, so that none is accepted twice and
        -- each stays as the partner's proof of having asked.
        CREATE TABLE access_tokens (
            hash       bytea PRIMARY KEY,
            agreement  text NOT NULL,
            issued_at  timestamptz NOT NULL DEFAULT now(),
            expires_at timestamptz NOT NULL
        );
        CREATE INDEX access_tokens_expires ON access_tokens (expires_at);
        CREATE TABLE assertions (
            issuer      text NOT NULL,
            jti         text NOT NULL,
            agreement   text NOT NULL,
            assertion   text NOT NULL,
            received_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (issuer, jti)
        );
        -- One chain for each agreement; `line` is the bytes whose SHA-256 the next line names.
        CREATE TABLE audit (
            agreement text NOT NULL,
            sequence  bigint NOT NULL,
            at        timestamptz NOT NULL,
            line      bytea NOT NULL,
            PRIMARY KEY (agreement, sequence)
        );

        -- Signed heads of our own chains, each with the ends of the audit chains whose hash it names; and every
        -- catalogue that an entry names, by its SHA-256.
        CREATE TABLE heads (
            number     bigint PRIMARY KEY,
            issued_at  timestamptz NOT NULL,
            expires_at timestamptz NOT NULL,
            document   text NOT NULL,
            audit      bytea
        );
        CREATE TABLE catalogues (
            hash    text PRIMARY KEY,
            metric  text NOT NULL,
            content bytea NOT NULL
        );
        """
    )


def downgrade() -> None:
    raise RuntimeError("an older version would serve everyone; restore the database instead")

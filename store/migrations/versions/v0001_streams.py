"""The register, the streams' accounts, cells and dead letters, publications, and what partners published."""

from alembic import op

revision = "0001"
down_revision = None

REGISTER = """
-- Contributors (customers, premises) and sources (metering channels, sensors) have dense numbers in random order.
CREATE TABLE contributors (
    number      bigint PRIMARY KEY CHECK (number BETWEEN 0 AND 4294967295),
    contributor text NOT NULL UNIQUE
);
CREATE TABLE sources (
    number      bigint PRIMARY KEY CHECK (number BETWEEN 0 AND 4294967295),
    source      text NOT NULL,
    metric      text NOT NULL,
    district    text NOT NULL,
    contributor bigint NOT NULL REFERENCES contributors,
    class       text NOT NULL,
    valid_from  timestamptz NOT NULL,
    valid_to    timestamptz,
    UNIQUE (source, metric, valid_from)
);
CREATE INDEX ON sources (metric, district, class);
-- A version of a metric's areas is valid from valid_from (a quarter's first day) until the next version's.
CREATE TABLE area_versions (
    version    integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    metric     text NOT NULL,
    valid_from timestamptz NOT NULL,
    UNIQUE (metric, valid_from)
);
CREATE TABLE areas (
    number     integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    version    integer NOT NULL REFERENCES area_versions,
    name       text NOT NULL,
    population bigint NOT NULL CHECK (population >= 0)
);
CREATE INDEX ON areas (version);
CREATE TABLE area_districts (
    area     integer NOT NULL REFERENCES areas,
    district text NOT NULL,
    PRIMARY KEY (area, district)
);
"""

INGEST = """
-- What Kafka acknowledged, per run of ingest, for comparison with what the processor accounts for.
CREATE TABLE deliveries (
    run       uuid NOT NULL,
    topic     text NOT NULL,
    partition integer NOT NULL,
    messages  bigint NOT NULL,
    readings  bigint NOT NULL,
    first_offset bigint NOT NULL,
    last_offset  bigint NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (run, topic, partition)
);
-- Readings that never became a message: an unknown source, an unreadable line.
CREATE TABLE source_dead_letters (
    origin   text NOT NULL,
    position bigint NOT NULL,
    reason   text NOT NULL,
    original bytea NOT NULL,
    at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (origin, position)
);
"""

STREAMS = """
CREATE TABLE stream_topics (
    topic      text PRIMARY KEY,
    cluster_id text NOT NULL,
    topic_id   text NOT NULL,
    partitions integer NOT NULL
);
-- One row per partition: its position (R2), who may move it (R3), the account of all below next_offset (R8).
CREATE TABLE stream_offsets (
    topic          text NOT NULL REFERENCES stream_topics,
    partition      integer NOT NULL,
    epoch          bigint NOT NULL DEFAULT 0,
    next_offset    bigint NOT NULL DEFAULT 0,
    resume_offset  bigint NOT NULL DEFAULT 0,
    max_event_time bigint,
    incomplete_before bigint,
    messages       bigint NOT NULL DEFAULT 0,
    decoded        bigint NOT NULL DEFAULT 0,
    dead           bigint NOT NULL DEFAULT 0,
    dead_in_block  bigint NOT NULL DEFAULT 0,
    converted      bigint NOT NULL DEFAULT 0,
    lost_messages  bigint NOT NULL DEFAULT 0,
    readings       bigint NOT NULL DEFAULT 0,
    aggregated     bigint NOT NULL DEFAULT 0,
    duplicate      bigint NOT NULL DEFAULT 0,
    late           bigint NOT NULL DEFAULT 0,
    rejected       bigint NOT NULL DEFAULT 0,
    open           bigint NOT NULL DEFAULT 0,
    lost           bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (topic, partition),
    CHECK (resume_offset <= next_offset),
    CHECK (messages = decoded + dead + lost_messages),
    CHECK (readings = aggregated + duplicate + late + rejected + open + lost),
    CHECK (least(messages, decoded, dead, converted, lost_messages, readings) >= 0),
    CHECK (least(aggregated, duplicate, late, rejected, open, lost) >= 0)
);
CREATE TABLE cells (
    metric       text NOT NULL,
    window_start timestamptz NOT NULL,
    window_end   timestamptz NOT NULL,
    area         integer NOT NULL,
    class        text NOT NULL,
    topic        text NOT NULL,
    partition    integer NOT NULL,
    value        bigint NOT NULL,
    readings     bigint NOT NULL,
    contributors bigint NOT NULL,
    largest      bigint NOT NULL,
    absolute     bigint NOT NULL,
    covered_ms   bigint NOT NULL,
    first_offset bigint NOT NULL,
    last_offset  bigint NOT NULL,
    incomplete   boolean NOT NULL,
    PRIMARY KEY (metric, window_start, area, class, topic),
    FOREIGN KEY (topic, partition) REFERENCES stream_offsets
);
CREATE INDEX ON cells (topic, metric, window_start);
-- row is -1 where the whole message is dead, else the row that was rejected.
CREATE TABLE dead_letters (
    topic     text NOT NULL,
    partition integer NOT NULL,
    "offset"  bigint NOT NULL,
    row       integer NOT NULL,
    reason    text NOT NULL,
    original  bytea NOT NULL,
    at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (topic, partition, "offset", row)
);
"""

PUBLICATIONS = """
-- One row: the log's identity, which a restore must change, and the counter of all publications.
CREATE TABLE publication_log (
    single    boolean PRIMARY KEY DEFAULT true CHECK (single),
    id        uuid NOT NULL DEFAULT gen_random_uuid(),
    position  bigint NOT NULL DEFAULT 0
);
INSERT INTO publication_log DEFAULT VALUES;
CREATE TABLE publication_sequences (
    metric   text PRIMARY KEY,
    sequence bigint NOT NULL
);
CREATE TABLE publications (
    position     bigint PRIMARY KEY,
    metric       text NOT NULL,
    sequence     bigint NOT NULL,
    window_start timestamptz NOT NULL,
    window_end   timestamptz NOT NULL,
    revision     integer NOT NULL,
    topic        text NOT NULL,
    published_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (metric, sequence),
    UNIQUE (metric, window_start, revision)
);
-- Only what may leave the city (P2): value, status, coverage, rule. Counts of contributors are never stored here.
CREATE TABLE published_cells (
    position bigint NOT NULL REFERENCES publications,
    area     integer NOT NULL REFERENCES areas,
    class    text NOT NULL,
    status   text NOT NULL CHECK (status IN ('released', 'suppressed')),
    value    bigint,
    coverage integer,
    rule     text NOT NULL,
    PRIMARY KEY (position, area, class),
    CHECK ((status = 'released') = (value IS NOT NULL)),
    CHECK ((status = 'released') = (coverage IS NOT NULL))
);
"""

PARTNERS = """
CREATE TABLE partners (
    city       text PRIMARY KEY,
    url        text NOT NULL,
    log_id     text NOT NULL,
    cursor     text,
    catalog    jsonb NOT NULL,
    pulled_at  timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE partner_publications (
    city         text NOT NULL REFERENCES partners,
    metric       text NOT NULL,
    window_start timestamptz NOT NULL,
    window_end   timestamptz NOT NULL,
    revision     integer NOT NULL,
    sequence     bigint NOT NULL,
    log_id       text NOT NULL,
    published_at timestamptz NOT NULL,
    received_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (city, metric, window_start, revision)
);
CREATE TABLE partner_cells (
    city         text NOT NULL,
    metric       text NOT NULL,
    window_start timestamptz NOT NULL,
    revision     integer NOT NULL,
    area         integer NOT NULL,
    class        text NOT NULL,
    status       text NOT NULL,
    value        bigint,
    coverage     integer,
    rule         text NOT NULL,
    PRIMARY KEY (city, metric, window_start, revision, area, class),
    FOREIGN KEY (city, metric, window_start, revision) REFERENCES partner_publications
);
"""


def upgrade() -> None:
    for part in (REGISTER, INGEST, STREAMS, PUBLICATIONS, PARTNERS):
        op.execute(part)


def downgrade() -> None:
    raise RuntimeError("the first version has nothing before it; drop the database instead")

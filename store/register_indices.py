"""The indices and keys of the register, built from all rows at once.

Building an index from millions of rows takes a fraction of the time of extending it by each, also where the rows come
in its order; the same goes for the check of a foreign key. Other tables need the primary key of `sources`: it stays.
"""

from store.database import Connection

REBUILT_FROM = 50_000
"""From so many rows on, a load of more rows than the register has builds the indices anew instead of extending them."""

_DROP = """
ALTER TABLE sources DROP CONSTRAINT sources_contributor_fkey, DROP CONSTRAINT sources_source_metric_valid_from_key;
ALTER TABLE contributors DROP CONSTRAINT contributors_contributor_key, DROP CONSTRAINT contributors_pkey;
DROP INDEX sources_metric_number_idx
"""
_BUILD_CONTRIBUTORS = """
ALTER TABLE contributors ADD PRIMARY KEY (number), ADD UNIQUE (contributor);
ANALYZE contributors
"""
_BUILD_SOURCES = """
ALTER TABLE sources ADD UNIQUE (source, metric, valid_from), ADD FOREIGN KEY (contributor) REFERENCES contributors;
CREATE INDEX sources_metric_number_idx ON sources (metric, number);
ANALYZE sources
"""


def drop(connection: Connection) -> None:
    """Drop what is built anew; the tables are locked, also for readers, until the transaction ends."""
    connection.execute(_DROP)


def build_contributors(connection: Connection) -> None:
    """Build the keys of the contributors."""
    connection.execute(_BUILD_CONTRIBUTORS)


def build_sources(connection: Connection) -> None:
    """Build the other indices and keys, when those of the contributors are there."""
    connection.execute(_BUILD_SOURCES)

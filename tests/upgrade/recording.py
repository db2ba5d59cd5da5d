"""What release 0.1.0 has left, as `tests.upgrade.record` has recorded it in `release_0_1_0/`."""

import gzip
import json
from pathlib import Path

import psycopg

RELEASE = Path(__file__).parent / "release_0_1_0"
MESSAGES = [json.loads(line) for line in gzip.decompress((RELEASE / "messages.jsonl.gz").read_bytes()).splitlines()]
TOPICS = sorted({message["topic"] for message in MESSAGES})
PUBLICATIONS = (
    "SELECT metric, sequence, window_start, window_end, revision, topic FROM publications ORDER BY metric, sequence"
)


def restore(database_url: str) -> None:
    """Put the release's database in place of what is there."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        connection.execute(gzip.decompress((RELEASE / "database.sql.gz").read_bytes()).decode())


def rows(database_url: str, query: str, *terms: object) -> list[tuple]:
    with psycopg.connect(database_url) as connection:
        return connection.execute(query, terms).fetchall()

"""What live sources delivered and is done with, by the checksum of its content."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from store.database import Connection
from store.moments import milliseconds, moment

_RECORD = """
INSERT INTO arrivals (source, checksum, name, received_at, refused, words) VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT (source, checksum) DO NOTHING
"""

_PRUNE = """
DELETE FROM arrivals WHERE source = %s AND checksum = ANY(ARRAY(
    SELECT checksum FROM arrivals
    WHERE source = %s AND done_at < now() - make_interval(days => %s) AND name <> ALL(%s)
      AND received_at < (SELECT max(received_at) FROM arrivals AS latest WHERE latest.source = arrivals.source)
    ORDER BY done_at LIMIT %s))
"""


@dataclass(frozen=True, slots=True)
class FinishedArrival:
    """Content that a source delivered: its SHA-256, the name that it came under, and when it came (ms since 1970, UTC).

    `refused` readings became no message; `words` say why nothing was sent of it, if so.
    """

    checksum: bytes
    name: str
    received_ms: int
    refused: int = 0
    words: str = ""


def is_done(connection: Connection, source: str, checksum: bytes) -> bool:
    """Whether the log has what this source delivered with this checksum."""
    found = connection.execute("SELECT 1 FROM arrivals WHERE source = %s AND checksum = %s", (source, checksum))
    return found.fetchone() is not None


def last_arrivals(connection: Connection) -> Mapping[str, int]:
    """When each source last delivered, milliseconds since 1970, as far as arrivals are kept."""
    rows = connection.execute("SELECT source, max(received_at) FROM arrivals GROUP BY source")
    return {source: milliseconds(at) for source, at in rows}


def prune_arrivals(connection: Connection, source: str, present: Collection[str], days: int, most: int) -> int:
    """Remove up to `most` arrivals of a source that are older than `days` days; returns how many.

    Those named in `present` stay, since the source would deliver them again, and so does its latest.
    """
    return connection.execute(_PRUNE, (source, source, days, list(present), most)).rowcount


def record_arrivals(connection: Connection, source: str, arrivals: Sequence[FinishedArrival]) -> None:
    """Store what is done; repeating it changes nothing."""
    with connection.transaction(), connection.cursor() as cursor:
        cursor.executemany(
            _RECORD, [(source, a.checksum, a.name, moment(a.received_ms), a.refused, a.words) for a in arrivals]
        )

"""What senders were answered under their idempotency keys, for a day."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from store.database import Connection

KEPT_HOURS = 24
MOST_KEPT = 100_000
"""Answers of one source; the oldest are forgotten first."""

_FIND = f"""
SELECT key, body, refused, count FROM push_answers
WHERE source = %s AND key = ANY(%s) AND answered_at > now() - interval '{KEPT_HOURS} hours'
"""
# A key that is too old is a new one.
_KEEP = f"""
INSERT INTO push_answers (source, key, body, refused, count)
SELECT %s, * FROM unnest(%s::text[], %s::bytea[], %s::text[], %s::bigint[])
ON CONFLICT (source, key) DO UPDATE SET body = excluded.body, refused = excluded.refused, count = excluded.count,
    answered_at = now()
WHERE push_answers.answered_at <= now() - interval '{KEPT_HOURS} hours'
"""
_PRUNE = f"""
DELETE FROM push_answers WHERE source = %s AND answered_at <= greatest(
    now() - interval '{KEPT_HOURS} hours',
    (SELECT answered_at FROM push_answers WHERE source = %s ORDER BY answered_at DESC OFFSET %s LIMIT 1))
"""


@dataclass(frozen=True, slots=True)
class PushAnswer:
    """The answer to a body with this SHA-256: `refused` is JSON, `count` how many were refused."""

    body: bytes
    refused: str
    count: int


def find_answers(connection: Connection, source: str, keys: Collection[str]) -> Mapping[str, PushAnswer]:
    """The answers that a source got under these keys, as far as they are kept."""
    rows = connection.execute(_FIND, (source, list(keys)))
    return {key: PushAnswer(bytes(body), refused, count) for key, body, refused, count in rows}


def keep_answers(connection: Connection, source: str, answers: Sequence[tuple[str, PushAnswer]]) -> None:
    """Keep answers by their keys, which must be distinct; the one that is kept already stays."""
    columns = ([key for key, _ in answers], *zip(*((a.body, a.refused, a.count) for _, a in answers), strict=True))
    connection.execute(_KEEP, (source, *map(list, columns)))


def prune_answers(connection: Connection, source: str, most: int = MOST_KEPT) -> int:
    """Forget what is too old, and what there is beyond `most`; returns how many."""
    return connection.execute(_PRUNE, (source, source, most)).rowcount

"""Erasing what partners gave, when the time is over for which they have agreed that it is kept.

Bodies and figures go, by the end of their windows; entries and heads stay, since they hold no figure and prove what was
said. Times are milliseconds since 1970, UTC.
"""

from dataclasses import dataclass

from store.database import Connection
from store.moments import moment


@dataclass(frozen=True, slots=True)
class KeptCity:
    """What is kept of one partner: for how many days after a window's end (of its metrics the most), and how many
    bodies are older than their metric's days and not erased yet."""

    city: str
    thumbprint: str
    days: int
    overdue: int


def erase_expired(connection: Connection, now_ms: int, most: int) -> int:
    """Erase up to `most` bodies, and the figures of as many publications, whose time is over at `now_ms`.

    Oldest windows first, each kind in one transaction. Returns how many of both were erased: 0 when none is left.
    """
    terms = {"now": moment(now_ms), "most": most}
    bodies = connection.execute(_ERASE_BODIES, terms).rowcount
    row = connection.execute(_ERASE_FIGURES, terms).fetchone()
    return bodies + (0 if row is None else int(row[0]))


def kept_cities(connection: Connection, now_ms: int) -> list[KeptCity]:
    """Every partner that gives us something, or has under an agreement, by city."""
    rows = connection.execute(_KEPT, {"now": moment(now_ms)})
    return [KeptCity(*row) for row in rows]


_ERASE_BODIES = """
WITH over AS (
    SELECT sent.thumbprint, sent.metric, sent.sequence
    FROM kept_metrics AS kept JOIN partner_bodies AS sent
      ON sent.thumbprint = kept.thumbprint AND sent.metric = kept.metric AND sent.window_end <= %(now)s - retention
    ORDER BY sent.window_end, sent.sequence LIMIT %(most)s)
DELETE FROM partner_bodies AS sent USING over
WHERE (sent.thumbprint, sent.metric, sent.sequence) = (over.thumbprint, over.metric, over.sequence)
"""

# Windows begin before they end, and what is over is gone after each turn: the primary key leads to the oldest.
_ERASE_FIGURES = """
WITH over AS (
    SELECT of.city, of.metric, of.window_start, of.revision, %(now)s - retention AS since
    FROM kept_metrics AS kept JOIN partners USING (thumbprint) JOIN partner_publications AS of
      ON of.city = partners.city AND of.metric = kept.metric
     AND of.window_start <= %(now)s - retention AND of.window_end <= %(now)s - retention
    ORDER BY of.window_start, of.revision LIMIT %(most)s
), cells AS (
    DELETE FROM partner_cells AS old USING over
    WHERE (old.city, old.metric, old.window_start, old.revision)
        = (over.city, over.metric, over.window_start, over.revision)
), totals AS (
    DELETE FROM partner_totals AS old USING over
    WHERE (old.city, old.metric, old.window_start) = (over.city, over.metric, over.window_start)
      AND old.window_end <= since
), gone AS (
    DELETE FROM partner_publications AS old USING over
    WHERE (old.city, old.metric, old.window_start, old.revision)
        = (over.city, over.metric, over.window_start, over.revision)
    RETURNING 1
)
SELECT count(*) FROM gone
"""

_KEPT = """
SELECT city, thumbprint, max(extract(epoch FROM retention) / 86400)::integer, sum(overdue)::bigint
FROM kept_metrics AS kept CROSS JOIN LATERAL (
    SELECT count(*) AS overdue FROM partner_bodies AS sent
    WHERE sent.thumbprint = kept.thumbprint AND sent.metric = kept.metric AND window_end <= %(now)s - retention
) AS old
GROUP BY city, thumbprint ORDER BY city, thumbprint
"""

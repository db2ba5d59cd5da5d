"""Partner cities: how far each one's log was read, and its publications.

Times are milliseconds since 1970, UTC. Amounts are whole numbers of the partner's smallest unit. Every publication
before a partner's cursor is stored, because a page and its cursor are written in one transaction.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg.types.json import Jsonb

from store.database import Connection
from store.moments import moment
from store.partner_figures import count_windows
from store.publication_log import CellColumns
from store.publications import Kind, Window
from store.received import Conflict


@dataclass(frozen=True, slots=True)
class PartnerState:
    """A partner as it was last pulled. `cursor` is None until a page of its log has been stored; `catalog` is JSON."""

    city: str
    url: str
    log_id: str
    cursor: str | None
    catalog: object


@dataclass(frozen=True, slots=True)
class ReceivedPublication:
    """A publication of a partner, with all of its cells."""

    metric: str
    sequence: int
    window: Window
    revision: int
    published_at: int
    cells: CellColumns
    kind: Kind = "publication"
    reason: str | None = None


def partner_at(connection: Connection, url: str) -> PartnerState | None:
    """The partner that was last pulled from this URL, or None."""
    row = connection.execute(f"SELECT {_PARTNER} FROM partners WHERE url = %s", (url,)).fetchone()
    return None if row is None else PartnerState(*row)


def partner_named(connection: Connection, city: str) -> PartnerState | None:
    """The partner with this city id, or None."""
    row = connection.execute(f"SELECT {_PARTNER} FROM partners WHERE city = %s", (city,)).fetchone()
    return None if row is None else PartnerState(*row)


def partners(connection: Connection) -> list[PartnerState]:
    """Every partner, by city."""
    return [PartnerState(*row) for row in connection.execute(f"SELECT {_PARTNER} FROM partners ORDER BY city")]


def save_catalog(connection: Connection, city: str, url: str, log_id: str, catalog: object) -> None:
    """Store a partner's catalogue (a JSON value) and its URL. A new partner starts without a cursor."""
    connection.execute(
        "INSERT INTO partners (city, url, log_id, catalog) VALUES (%(city)s, %(url)s, %(log)s, %(catalog)s)"
        " ON CONFLICT (city) DO UPDATE SET url = %(url)s, catalog = %(catalog)s",
        {"city": city, "url": url, "log": log_id, "catalog": Jsonb(catalog)},
    )


def start_over(connection: Connection, city: str, log_id: str) -> None:
    """Drop the cursor and set the log's id: the partner has another log now.

    Stored publications belong to no log until the new log repeats them.
    """
    with connection.transaction():
        connection.execute("UPDATE partners SET log_id = %s, cursor = NULL WHERE city = %s", (log_id, city))
        connection.execute("UPDATE partner_publications SET log_id = '' WHERE city = %s", (city,))


def store_page(
    connection: Connection,
    city: str,
    log_id: str,
    *,
    before: str | None,
    following: str,
    page: Sequence[ReceivedPublication],
) -> None:
    """Store the page after the cursor `before`, and move the cursor to `following`, in one transaction.

    Raises `Conflict` if the stored cursor or log has changed (another process pulls the same partner), if a metric's
    sequence has a gap, or if a window's revision comes twice in one log.
    """
    with connection.transaction():
        moved = connection.execute(
            "UPDATE partners SET cursor = %s, pulled_at = now()"
            " WHERE city = %s AND log_id = %s AND cursor IS NOT DISTINCT FROM %s",
            (following, city, log_id, before),
        )
        if moved.rowcount != 1:
            raise Conflict(f"another process has moved the cursor of {city}")
        _check_sequences(connection, city, log_id, page)
        for publication in page:
            _store(connection, city, log_id, publication)
        count_windows(connection, city, {(item.metric, item.window.start) for item in page if item.kind != "skip"})


_SKIP = -1
_PARTNER = "city, url, log_id, cursor, catalog"


def _check_sequences(connection: Connection, city: str, log_id: str, page: Sequence[ReceivedPublication]) -> None:
    last: dict[str, int] = dict(
        connection.execute(
            "SELECT metric, max(sequence) FROM partner_publications WHERE city = %s AND log_id = %s GROUP BY metric",
            (city, log_id),
        ).fetchall()
    )
    for publication in page:
        metric, expected = publication.metric, last.get(publication.metric, 0) + 1
        skips = publication.kind == "skip" and publication.sequence > expected
        if publication.sequence != expected and not skips:
            raise Conflict(f"expected publication {expected} of {metric}, received {publication.sequence}")
        last[metric] = publication.sequence


def _store(connection: Connection, city: str, log_id: str, publication: ReceivedPublication) -> None:
    start, end = moment(publication.window.start), moment(publication.window.end)
    # A skip is of many windows: kept under a revision of its own, it hides none of theirs.
    revision = _SKIP if publication.kind == "skip" else publication.revision
    key = (city, publication.metric, start, revision)
    stored = connection.execute(
        "INSERT INTO partner_publications"
        " (city, metric, window_start, revision, window_end, sequence, log_id, published_at, kind, reason)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
        " ON CONFLICT (city, metric, window_start, revision) DO UPDATE SET"
        " window_end = excluded.window_end, sequence = excluded.sequence, log_id = excluded.log_id,"
        " published_at = excluded.published_at, kind = excluded.kind, reason = excluded.reason, received_at = now()"
        " WHERE partner_publications.log_id <> excluded.log_id OR excluded.kind = 'skip'",
        (
            *key,
            end,
            publication.sequence,
            log_id,
            moment(publication.published_at),
            publication.kind,
            publication.reason,
        ),
    )
    if stored.rowcount != 1:
        raise Conflict(
            f"{publication.metric}, {start}, revision {publication.revision} was received before in this log"
        )
    connection.execute(
        "DELETE FROM partner_cells WHERE city = %s AND metric = %s AND window_start = %s AND revision = %s", key
    )
    cells = publication.cells
    connection.execute(
        "INSERT INTO partner_cells (city, metric, window_start, revision, area, class, status, value, coverage, rule)"
        " SELECT %s, %s, %s, %s, area, class, status, value, coverage, rule"
        " FROM unnest(%s::integer[], %s::text[], %s::text[], %s::bigint[], %s::text[], %s::text[])"
        " AS cells (area, class, status, value, coverage, rule)",
        (*key, *map(list, (cells.area, cells.class_, cells.status, cells.value, cells.coverage, cells.rule))),
    )
    if publication.kind == "withdrawal":
        connection.execute(
            "UPDATE partner_cells SET status = 'withdrawn', value = NULL, coverage = NULL"
            " WHERE city = %s AND metric = %s AND window_start = %s",
            key[:3],
        )

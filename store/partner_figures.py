"""What partners' figures are compared by: their metrics, areas, and totals of each window, in columns.

All of it is written when a catalogue or a page is stored, in that transaction, so that whoever compares reads a few
rows and parses nothing. Times are milliseconds since 1970, UTC; amounts whole numbers of the partner's smallest unit.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from psycopg.types.json import Jsonb

from store.database import Connection
from store.moments import milliseconds, moment
from store.publication_log import WindowTotal
from store.publications import Window


@dataclass(frozen=True, slots=True)
class PartnerCity:
    """A partner of which a catalogue was received: its id, its own name, and its names by language."""

    id: str
    name: str
    names: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PartnerMetric:
    """How a partner defines a metric."""

    unit: str
    smallest_unit: str
    smallest_per_unit: int
    kind: str
    window: str


def define(connection: Connection, city: str, catalogue: str, metric: Mapping[str, object]) -> None:
    """Replace what is known of one metric by its newest catalogue, checked, as JSON; to be called in a transaction.

    `catalogue` is its hash: nothing is done if it is the one that is known.
    """
    known = connection.execute(
        "SELECT 1 FROM partner_metrics WHERE city = %s AND metric = %s AND catalogue = %s",
        (city, metric["name"], catalogue),
    ).fetchone()
    if known:
        return
    for table in ("partner_areas", "partner_metrics"):
        connection.execute(f"DELETE FROM {table} WHERE city = %s AND metric = %s", (city, metric["name"]))
    terms = {"city": city, "metrics": Jsonb([metric])}
    connection.execute(_SAVE_METRICS, terms)
    connection.execute(_SAVE_AREAS, terms)
    connection.execute(
        "UPDATE partner_metrics SET catalogue = %s WHERE city = %s AND metric = %s", (catalogue, city, metric["name"])
    )


def count_windows(connection: Connection, city: str, windows: Collection[tuple[str, int]]) -> None:
    """Compute the totals of these windows (metric, start) anew, from the newest revision of each that is stored."""
    chosen = {
        "city": city,
        "metrics": [metric for metric, _ in windows],
        "starts": [moment(start) for _, start in windows],
    }
    with connection.transaction():
        connection.execute(
            "DELETE FROM partner_totals AS old"
            " USING unnest(%(metrics)s::text[], %(starts)s::timestamptz[]) AS chosen (metric, start)"
            " WHERE city = %(city)s AND old.metric = chosen.metric AND window_start = start",
            chosen,
        )
        connection.execute(_COUNT, chosen)


def partner_cities(connection: Connection) -> list[PartnerCity]:
    """Every partner of which a catalogue was received, by id."""
    return [PartnerCity(*row) for row in connection.execute("SELECT city, name, names FROM partners ORDER BY city")]


def partner_areas(connection: Connection, city: str, metric: str) -> Mapping[int, str]:
    """The areas of a partner's metric, of all their versions: number -> name."""
    query = "SELECT area, name FROM partner_areas WHERE city = %s AND metric = %s ORDER BY area"
    return dict(connection.execute(query, (city, metric)).fetchall())


def partner_metrics(connection: Connection, metrics: Collection[str]) -> Mapping[tuple[str, str], PartnerMetric]:
    """(city, metric) -> the definition, of all partners that have one of these metrics."""
    rows = connection.execute(
        'SELECT city, metric, unit, smallest_unit, smallest_per_unit, kind, "window" FROM partner_metrics'
        " WHERE metric = ANY(%s) ORDER BY city",
        (list(metrics),),
    )
    return {(city, metric): PartnerMetric(*columns) for city, metric, *columns in rows}


def partner_window_totals(
    connection: Connection, metric: str, classes: Collection[str], last_ms: int
) -> Mapping[str, list[WindowTotal]]:
    """City -> totals of each of these classes in its windows that ended in the last `last_ms` before its newest end."""
    rows = connection.execute(
        """
        SELECT totals.city, class, window_start, window_end, value, released, cells, released_population, population,
               weighted, withdrawn
        FROM partner_metrics AS known
        CROSS JOIN LATERAL (
            SELECT window_end AS newest FROM partner_totals AS ended
            WHERE ended.city = known.city AND ended.metric = known.metric ORDER BY window_end DESC LIMIT 1
        ) AS latest
        JOIN partner_totals AS totals ON totals.city = known.city AND totals.metric = known.metric
            AND window_end > newest - %(last)s * interval '1 millisecond'
        WHERE known.metric = %(metric)s AND class = ANY(%(classes)s) ORDER BY totals.city, class, window_start
        """,
        {"metric": metric, "classes": list(classes), "last": last_ms},
    )
    found: dict[str, list[WindowTotal]] = {}
    for city, class_, start, end, *numbers in rows:
        window = Window(milliseconds(start), milliseconds(end))
        found.setdefault(city, []).append(WindowTotal(metric, class_, window, *map(int, numbers)))
    return found


_SAVE_METRICS = """
INSERT INTO partner_metrics (city, metric, unit, smallest_unit, smallest_per_unit, kind, "window")
SELECT %(city)s, name, unit, smallest_unit, smallest_per_unit, kind, "window"
FROM jsonb_to_recordset(%(metrics)s)
    AS metric (name text, unit text, smallest_unit text, smallest_per_unit bigint, kind text, "window" text)
"""

_SAVE_AREAS = """
INSERT INTO partner_areas (city, metric, area, name, population)
SELECT %(city)s, metric ->> 'name', number, area.name, population
FROM jsonb_array_elements(%(metrics)s) AS metric
CROSS JOIN jsonb_to_recordset(metric -> 'areas') AS area (number integer, name text, population bigint)
"""

_COUNT = """
INSERT INTO partner_totals (city, metric, class, window_start, window_end, value, released, cells,
                            released_population, population, weighted, withdrawn)
SELECT city, metric, class, window_start, newest.window_end, coalesce(sum(value), 0), count(value), count(*),
       coalesce(sum(population) FILTER (WHERE value IS NOT NULL), 0), coalesce(sum(population), 0),
       coalesce(sum(value::numeric * population), 0), count(*) FILTER (WHERE status = 'withdrawn')
FROM (
    SELECT DISTINCT ON (metric, window_start) city, metric, window_start, window_end, revision
    FROM partner_publications
    JOIN unnest(%(metrics)s::text[], %(starts)s::timestamptz[]) AS chosen (metric, window_start)
        USING (metric, window_start)
    WHERE city = %(city)s AND kind <> 'skip' ORDER BY metric, window_start, revision DESC
) AS newest
JOIN partner_cells USING (city, metric, window_start, revision)
LEFT JOIN partner_areas USING (city, metric, area)
GROUP BY city, metric, class, window_start, newest.window_end
"""

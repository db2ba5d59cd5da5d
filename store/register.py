"""The register: the number, contributor, class and district of every source.

Real ids are here and nowhere else. Numbers are dense, in random order, and never given twice: rows are never deleted.
Sources are looked up in `store.resolution`; the areas of a metric are in `store.areas`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from errors import OperatorError
from store.database import Connection
from store.moments import moment

_CREATE = """
CREATE TEMPORARY TABLE register_rows (
    line bigint, source text, metric text, district text, contributor text, class text,
    valid_from timestamptz, valid_to timestamptz
) ON COMMIT DROP
"""
_COPY = "COPY register_rows FROM STDIN (FORMAT binary)"
_COPY_TYPES = ("int8", "text", "text", "text", "text", "text", "timestamptz", "timestamptz")
_TWICE = """
SELECT max(line), min(line) FROM register_rows GROUP BY source, metric, valid_from HAVING count(*) > 1
ORDER BY 1 LIMIT 1
"""
_CHANGED = """
SELECT r.line, CASE WHEN s.class <> r.class THEN 'class' WHEN s.district <> r.district THEN 'district'
                    ELSE 'contributor' END
FROM register_rows r JOIN sources s USING (source, metric, valid_from) JOIN contributors c ON c.number = s.contributor
WHERE s.class <> r.class OR s.district <> r.district OR c.contributor <> r.contributor
ORDER BY 1 LIMIT 1
"""
# gen_random_uuid draws from the system's randomness: the order of ids can't be guessed from the order of numbers.
_NEW_CONTRIBUTORS = """
INSERT INTO contributors (number, contributor)
SELECT (SELECT coalesce(max(number), -1) FROM contributors) + row_number() OVER (ORDER BY gen_random_uuid()),
       contributor
FROM (SELECT contributor FROM register_rows EXCEPT SELECT contributor FROM contributors) unnumbered
"""
_UPDATED = """
UPDATE sources s SET valid_to = r.valid_to FROM register_rows r
WHERE (s.source, s.metric, s.valid_from) = (r.source, r.metric, r.valid_from) AND s.valid_to IS DISTINCT FROM r.valid_to
"""
_NEW_SOURCES = """
INSERT INTO sources (number, source, metric, district, contributor, class, valid_from, valid_to)
SELECT (SELECT coalesce(max(number), -1) FROM sources) + row_number() OVER (ORDER BY gen_random_uuid()),
       r.source, r.metric, r.district, c.number, r.class, r.valid_from, r.valid_to
FROM register_rows r JOIN contributors c USING (contributor)
WHERE NOT EXISTS (SELECT FROM sources s WHERE (s.source, s.metric, s.valid_from) = (r.source, r.metric, r.valid_from))
"""
_OVERLAPPING = """
SELECT coalesce(later.line, earlier.line) FROM (
    SELECT source, metric, valid_from, coalesce(valid_to, 'infinity') AS ends,
           lead(valid_from) OVER (PARTITION BY source, metric ORDER BY valid_from) AS next
    FROM sources WHERE (source, metric) IN (SELECT source, metric FROM register_rows)
) s
LEFT JOIN register_rows earlier USING (source, metric, valid_from)
LEFT JOIN register_rows later ON (later.source, later.metric, later.valid_from) = (s.source, s.metric, s.next)
WHERE s.ends > s.next ORDER BY 1 LIMIT 1
"""


class RegisterError(OperatorError):
    """A register that can't be loaded or used. `line` and `column` are the place in the file; ids are not repeated."""

    def __init__(self, problem: str, line: int | None = None, column: str | None = None) -> None:
        where = "" if line is None else f"line {line}" + (f", column {column}" if column else "") + ": "
        super().__init__(where + problem)
        self.line = line
        self.column = column


@dataclass(frozen=True, slots=True)
class RegisterRow:
    """A source of a metric for a span of time (ms since 1970, UTC).

    `valid_to_ms` is the first time after the span, None for an open end; `line` is the place in the file, for errors.
    """

    line: int
    source: str
    metric: str
    district: str
    contributor: str
    class_: str
    valid_from_ms: int
    valid_to_ms: int | None


@dataclass(frozen=True, slots=True)
class Loaded:
    """The outcome of a load: numbers of rows."""

    sources_new: int
    sources_updated: int
    sources_unchanged: int
    contributors_new: int


def load(connection: Connection, rows: Iterable[RegisterRow]) -> Loaded:
    """Add new sources and contributors, and update the ends of known sources; on any error nothing is changed.

    `rows` is read once, as a stream. Raises `RegisterError` if a row is there twice, if a known (source, metric,
    valid_from) has another class, district or contributor, or if two rows of a source are valid at the same time.
    """
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute(_CREATE)
        count = 0
        with cursor.copy(_COPY) as copy:
            copy.set_types(_COPY_TYPES)
            for count, row in enumerate(rows, start=1):  # noqa: B007 (the last count is used)
                copy.write_row(_copied(row))
        cursor.execute("ANALYZE register_rows")
        cursor.execute("LOCK TABLE contributors, sources IN SHARE ROW EXCLUSIVE MODE")
        _refuse_contradictions(connection)
        contributors = cursor.execute(_NEW_CONTRIBUTORS).rowcount
        updated = cursor.execute(_UPDATED).rowcount
        new = cursor.execute(_NEW_SOURCES).rowcount
        if overlap := cursor.execute(_OVERLAPPING).fetchone():
            raise RegisterError("the source is valid in another row at the same time", overlap[0], "valid_from")
        cursor.execute("DROP TABLE register_rows")
    return Loaded(new, updated, count - new - updated, contributors)


def _copied(row: RegisterRow) -> tuple[object, ...]:
    valid_to = None if row.valid_to_ms is None else moment(row.valid_to_ms)
    values = (row.line, row.source, row.metric, row.district, row.contributor, row.class_)
    return (*values, moment(row.valid_from_ms), valid_to)


def _refuse_contradictions(connection: Connection) -> None:
    if twice := connection.execute(_TWICE).fetchone():
        raise RegisterError(f"the same source, metric and valid_from as line {twice[1]}", twice[0], "source")
    if changed := connection.execute(_CHANGED).fetchone():
        line, column = changed
        raise RegisterError(
            f"the source is registered with another {column} from the same time on; "
            "end that row with valid_to and add one with a later valid_from",
            line,
            column,
        )

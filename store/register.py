"""The register: the number, contributor, class and district of every source.

Real ids are here and nowhere else. Numbers are dense, in random order, and never given twice: rows are never deleted.
Sources are looked up in `store.resolution`; the areas of a metric are in `store.areas`.
"""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, LiteralString

import numpy as np
from numpy.typing import NDArray

from errors import OperatorError
from store.database import Connection
from store.moments import milliseconds, moment

REBUILT_FROM = 50_000
"""From so many rows on, a load of more rows than the register has builds the indices anew instead of extending them."""

# A sort or a hash table of millions of rows fits, or needs few passes. PostgreSQL may use a few times as much.
_MEMORY = "SET LOCAL work_mem = '256MB'; SET LOCAL maintenance_work_mem = '512MB'; SET LOCAL jit = off"
_CREATE = """
CREATE TEMPORARY TABLE register_rows (
    line bigint, source text, metric text, district text, contributor text, class text,
    valid_from timestamptz, valid_to timestamptz, source_order bigint, contributor_order bigint
) ON COMMIT DROP;
CREATE TEMPORARY TABLE repeated_lines (line bigint PRIMARY KEY) ON COMMIT DROP;
CREATE TEMPORARY TABLE moved_ends (
    number bigint, line bigint, metric text, changed_from timestamptz, valid_to timestamptz
) ON COMMIT DROP
"""
_DROP = "DROP TABLE register_rows, repeated_lines, moved_ends"
_COPY = "COPY register_rows FROM STDIN"
_COPY_REPEATED = "COPY repeated_lines FROM STDIN"
_COUNT = "SELECT coalesce(max(number) + 1, 0) FROM sources"  # numbers are dense
_LAST_CHANGE = "SELECT coalesce(max(change), 0) FROM source_changes"
_TWICE = """
SELECT max(line), min(line) FROM register_rows WHERE line IN (SELECT line FROM repeated_lines)
GROUP BY source, metric, valid_from HAVING count(*) > 1
ORDER BY 1 LIMIT 1
"""
_CHANGED = """
SELECT r.line, CASE WHEN s.class <> r.class THEN 'class' WHEN s.district <> r.district THEN 'district'
                    ELSE 'contributor' END
FROM register_rows r JOIN sources s USING (source, metric, valid_from) JOIN contributors c ON c.number = s.contributor
WHERE s.class <> r.class OR s.district <> r.district OR c.contributor <> r.contributor
ORDER BY 1 LIMIT 1
"""
# Both orders are drawn from the system's randomness: the order of ids can't be guessed from the order of numbers.
# PostgreSQL's own gen_random_uuid takes a system call for each row.
_NEW_CONTRIBUTORS = """
INSERT INTO contributors (number, contributor)
SELECT (SELECT coalesce(max(number), -1) FROM contributors) + row_number() OVER (ORDER BY drawn), contributor
FROM (
    SELECT contributor, min(contributor_order) AS drawn FROM register_rows r
    WHERE NOT EXISTS (SELECT FROM contributors c WHERE c.contributor = r.contributor)
    GROUP BY contributor
) unnumbered
"""
_MOVED = """
INSERT INTO moved_ends
SELECT s.number, r.line, r.metric, least(s.valid_to, r.valid_to), r.valid_to
FROM sources s JOIN register_rows r USING (source, metric, valid_from)
WHERE s.valid_to IS DISTINCT FROM r.valid_to
"""
_UPDATE = """
UPDATE sources s SET valid_to = m.valid_to FROM moved_ends m WHERE s.number = m.number;
INSERT INTO source_changes (source) SELECT number FROM moved_ends
"""
_NEW_SOURCES = """
INSERT INTO sources (number, source, metric, district, contributor, class, valid_from, valid_to)
SELECT (SELECT coalesce(max(number), -1) FROM sources) + row_number() OVER (ORDER BY source_order),
       r.source, r.metric, r.district, c.number, r.class, r.valid_from, r.valid_to
FROM register_rows r JOIN contributors c USING (contributor)
WHERE NOT EXISTS (SELECT FROM sources s WHERE (s.source, s.metric, s.valid_from) = (r.source, r.metric, r.valid_from))
"""
# The rows of a source that is new with this load are no change.
_CHANGES = """
SELECT DISTINCT ON (metric) metric, changed_from, line, changed FROM (
    SELECT metric, s.valid_from AS changed_from, line, 'valid_from' AS changed
    FROM sources s JOIN register_rows USING (source, metric, valid_from)
    WHERE %(before)s > 0 AND number >= %(before)s AND EXISTS (
        SELECT FROM sources known
        WHERE (known.source, known.metric) = (s.source, s.metric) AND known.number < %(before)s
    )
    UNION ALL SELECT metric, changed_from, line, 'valid_to' FROM moved_ends
) all_changes ORDER BY metric, changed_from, line
"""
# Two rows of a source that overlap can only be two of this load, or one of this load and one from before.
_OVERLAPPING = """
WITH suspects AS MATERIALIZED (
    SELECT source, metric FROM register_rows WHERE line IN (SELECT line FROM repeated_lines)
    UNION SELECT source, metric FROM sources WHERE %(before)s > 0 AND number >= %(before)s
    UNION SELECT s.source, metric FROM source_changes c JOIN sources s ON number = c.source WHERE change > %(change)s
)
SELECT coalesce(later.line, earlier.line) FROM (
    SELECT source, metric, valid_from, coalesce(valid_to, 'infinity') AS ends,
           lead(valid_from) OVER (PARTITION BY source, metric ORDER BY valid_from) AS next
    FROM sources WHERE (source, metric) IN (SELECT source, metric FROM suspects)
) s
LEFT JOIN register_rows earlier USING (source, metric, valid_from)
LEFT JOIN register_rows later ON (later.source, later.metric, later.valid_from) = (s.source, s.metric, s.next)
WHERE s.ends > s.next ORDER BY 1 LIMIT 1
"""
# Building an index from millions of rows takes a fraction of the time of extending it by each; the same goes for
# the check of a foreign key. The primary keys stay: numbers come in ascending order.
_DROP_INDICES = """
ALTER TABLE sources DROP CONSTRAINT sources_contributor_fkey, DROP CONSTRAINT sources_source_metric_valid_from_key;
ALTER TABLE contributors DROP CONSTRAINT contributors_contributor_key;
DROP INDEX sources_metric_number_idx
"""
_BUILD_CONTRIBUTORS = "ALTER TABLE contributors ADD UNIQUE (contributor); ANALYZE contributors"
_BUILD_SOURCES = """
ALTER TABLE sources ADD UNIQUE (source, metric, valid_from), ADD FOREIGN KEY (contributor) REFERENCES contributors;
CREATE INDEX sources_metric_number_idx ON sources (metric, number);
ANALYZE sources
"""
_TO_ESCAPE = re.compile(r"[\\\t\n\r]")
_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})
_TIMES_KEPT = 100_000


class RegisterError(OperatorError):
    """A register that can't be loaded or used. `line` and `column` are the place in the file; ids are not repeated."""

    def __init__(self, problem: str, line: int | None = None, column: str | None = None) -> None:
        where = "" if line is None else f"line {line}" + (f", column {column}" if column else "") + ": "
        super().__init__(where + problem)
        self.line = line
        self.column = column


@dataclass(frozen=True, slots=True)
class RegisterColumns:
    """Rows of the register as columns of equal length. A row is a source of a metric for a span of time.

    Times are ms since 1970, UTC. `valid_to_ms` is the first time after the span, None for an open end; `line` is the
    row's place in the file, for errors.
    """

    line: Sequence[int]
    source: Sequence[str]
    metric: Sequence[str]
    district: Sequence[str]
    contributor: Sequence[str]
    class_: Sequence[str]
    valid_from_ms: Sequence[int]
    valid_to_ms: Sequence[int | None]


@dataclass(frozen=True, slots=True)
class EarliestChange:
    """Of all changes of known sources that a load brings, the one that holds from the earliest time on.

    A new row, or an end that has moved, by `column`. `from_ms` is milliseconds since 1970; `line` is that of the row.
    """

    from_ms: int
    line: int
    column: Literal["valid_from", "valid_to"]


@dataclass(frozen=True, slots=True)
class Loaded:
    """The outcome of a load: numbers of rows, and by metric the earliest change of sources that were known before."""

    sources_new: int
    sources_updated: int
    sources_unchanged: int
    contributors_new: int
    changes: Mapping[str, EarliestChange] = field(default_factory=dict, repr=False, compare=False)


def load(connection: Connection, blocks: Iterable[RegisterColumns], *, rebuilt_from: int = REBUILT_FROM) -> Loaded:
    """Add new sources and contributors, and update the ends of known sources; on any error nothing is changed.

    `blocks` is read once, as a stream. Raises `RegisterError` if a row is there twice, if a known (source, metric,
    valid_from) has another class, district or contributor, or if two rows of a source are valid at the same time.
    A load of at least `rebuilt_from` rows, and more than the register has, locks the register also for readers.
    """
    with connection.transaction():
        connection.execute(_MEMORY)
        connection.execute(_CREATE)
        count, repeated = _copy_in(connection, blocks)
        connection.execute("ANALYZE register_rows")
        connection.execute("LOCK TABLE contributors, sources IN SHARE ROW EXCLUSIVE MODE")
        before, change = _number(connection, _COUNT), _number(connection, _LAST_CHANGE)
        if len(repeated):
            _copy_repeated(connection, repeated)
            if twice := connection.execute(_TWICE).fetchone():
                raise RegisterError(f"the same source, metric and valid_from as line {twice[1]}", twice[0], "source")
        _refuse_contradictions(connection)
        rebuilt = count >= rebuilt_from and count > before
        if rebuilt:
            connection.execute(_DROP_INDICES)
        contributors = connection.execute(_NEW_CONTRIBUTORS).rowcount
        if rebuilt:
            connection.execute(_BUILD_CONTRIBUTORS)
        updated = connection.execute(_MOVED).rowcount
        if updated:
            connection.execute(_UPDATE)
        new = connection.execute(_NEW_SOURCES).rowcount
        if rebuilt:
            connection.execute(_BUILD_SOURCES)
        if overlap := connection.execute(_OVERLAPPING, {"before": before, "change": change}).fetchone():
            raise RegisterError("the source is valid in another row at the same time", overlap[0], "valid_from")
        changes = {
            metric: EarliestChange(milliseconds(changed_from), line, column)
            for metric, changed_from, line, column in connection.execute(_CHANGES, {"before": before})
        }
        connection.execute(_DROP)
    return Loaded(new, updated, count - new - updated, contributors, changes)


def _copy_in(connection: Connection, blocks: Iterable[RegisterColumns]) -> tuple[int, NDArray[np.int64]]:
    """Copy the rows into `register_rows`: how many they are, and the lines of all whose source may be there twice.

    Sources with the same id and metric have the same hash. So what is checked for repetitions is a few rows, unless
    many sources change within the file.
    """
    lines, hashes = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    times: dict[int | None, str] = {}
    with connection.cursor() as cursor, cursor.copy(_COPY) as copy:
        for block in blocks:
            copy.write(_as_text(block, times))
            lines.append(np.array(block.line, np.int64))
            keys = zip(block.source, block.metric, strict=True)
            hashes.append(np.fromiter(map(hash, keys), np.int64, len(block.line)))
    line, hashed = np.concatenate(lines), np.concatenate(hashes)
    ordered = np.sort(hashed)
    return len(line), np.unique(line[np.isin(hashed, ordered[1:][ordered[1:] == ordered[:-1]])])


def _as_text(block: RegisterColumns, times: dict[int | None, str]) -> bytes:
    """The rows in PostgreSQL's text format. `times` keeps what times look like in it."""
    if len(times) > _TIMES_KEPT:
        times.clear()
    for time_ms in {*block.valid_from_ms, *block.valid_to_ms} - times.keys():
        times[time_ms] = r"\N" if time_ms is None else moment(time_ms).isoformat()
    texts = (block.source, block.metric, block.district, block.contributor, block.class_)
    rows = zip(
        map(str, block.line),
        *map(_escaped, texts),
        map(times.__getitem__, block.valid_from_ms),
        map(times.__getitem__, block.valid_to_ms),
        *(
            map(str, order)
            for order in np.frombuffer(os.urandom(16 * len(block.line)), np.int64).reshape(2, -1).tolist()
        ),
        strict=True,
    )
    return f"{chr(10).join(map(chr(9).join, rows))}\n".encode() if block.line else b""


def _escaped(column: Sequence[str]) -> Sequence[str]:
    return [text.translate(_ESCAPES) for text in column] if _TO_ESCAPE.search("".join(column)) else column


def _copy_repeated(connection: Connection, lines: NDArray[np.int64]) -> None:
    with connection.cursor() as cursor, cursor.copy(_COPY_REPEATED) as copy:
        copy.write("".join(f"{line}\n" for line in lines.tolist()))
    connection.execute("ANALYZE repeated_lines")


def _number(connection: Connection, query: LiteralString) -> int:
    return int((connection.execute(query).fetchone() or (0,))[0])


def _refuse_contradictions(connection: Connection) -> None:
    if changed := connection.execute(_CHANGED).fetchone():
        line, column = changed
        raise RegisterError(
            f"the source is registered with another {column} from the same time on; "
            "end that row with valid_to and add one with a later valid_from",
            line,
            column,
        )
